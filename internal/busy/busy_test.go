package busy

import (
	"testing"
	"testing/synctest"
	"time"
)

// A time in which this process did not run is seen at once, and each only once; none in a bubble.
func TestLate(t *testing.T) {
	c := &Clock{last: time.Now().Add(-time.Minute)} // nothing has looked since
	c.Late()
	if all, longest := c.Late(); longest < time.Minute-beat || longest > all {
		t.Errorf("stopped for a minute: late for %v, at once for %v", all, longest)
	}
	synctest.Test(t, func(t *testing.T) {
		c := Watch(t.Context().Done())
		time.Sleep(time.Hour)
		if all, _ := c.Late(); all != 0 {
			t.Errorf("in a bubble it was late for %v", all)
		}
	})
}
