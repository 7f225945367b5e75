package shutdowntest

import "testing"

// Files are judged only in tests that are not parallel.
func TestAlone(t *testing.T) {
	for range 2 { // a test may have several checks
		if !alone(t) {
			t.Error("it is alone")
		}
	}
	t.Run("with others", func(t *testing.T) {
		t.Run("parallel", parallel)
		t.Run("parallel, too", parallel)
	})
}

func parallel(t *testing.T) {
	t.Parallel()
	if alone(t) {
		t.Error("it is parallel")
	}
}
