package foreign

import (
	"fmt"
	"reflect"
	"time"
)

// IsNil reports whether an interface holds nothing, or a nil pointer or another value that
// is nil, so that a constructor can refuse it by name instead of failing in the first call.
// Reflection is the only way to tell the second for an interface of any kind without calling
// a method of user code; it looks at the value's kind and nothing inside it.
func IsNil(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan:
		return r.IsNil()
	default:
		return false
	}
}

// CheckUnit returns an error for a duration of less than a microsecond, which is taken for a
// number whose unit was forgotten, as lastcall.Budget does. What is not positive is the
// caller's matter.
func CheckUnit(what string, d time.Duration) error {
	if d <= 0 || d >= time.Microsecond {
		return nil
	}
	return fmt.Errorf("%s is %v: a number without a unit counts nanoseconds; write %d*time.Second", what, d, int64(d))
}
