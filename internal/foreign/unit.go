package foreign

import (
	"fmt"
	"time"
)

// CheckUnit returns an error for a duration of less than a microsecond, which is taken for a
// number whose unit was forgotten, as lastcall.Budget does. What is not positive is the
// caller's matter.
func CheckUnit(what string, d time.Duration) error {
	if d <= 0 || d >= time.Microsecond {
		return nil
	}
	return fmt.Errorf("%s is %v: a number without a unit counts nanoseconds; write %d*time.Second", what, d, int64(d))
}
