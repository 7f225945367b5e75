package controller

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/lastcall-go/lastcall/report"
)

// call is one call into foreign code. It runs on a goroutine of its own, for
// which nobody waits without a bound; the loop, which owns everything here,
// learns of its end through the inbox.
type call struct {
	step  *report.Step
	due   time.Time    // when it should be over; zero: nobody has said
	since time.Time    // from when on it may need grace to come back
	order int64        // when it came back, in the run's order
	over  bool         // its result has come
	told  bool         // its end, or that it takes too long, has been told
	lasts bool         // it is the Serve of a server that is Last, and not late before the end
	quiet bool         // it is told only if it takes too long, panics or calls runtime.Goexit
	ctx   *stepContext // of a step; nil: it has none
	then  func(result) // what the loop does with the result, before it is told
}

// ended says whether the call came back in the way a call should.
func (c *call) ended() bool {
	return c != nil && c.over && c.step.Result != report.ResultPanicked && c.step.Result != report.ResultGoexit
}

// guard runs foreign code on the calling goroutine and hands over how it ended:
// returned, panicked, or left by runtime.Goexit. Turning errors and panic values
// into text calls foreign methods, so that happens here as well.
func guard(fn func() error, deliver func(result)) {
	res := result{result: report.ResultGoexit}
	defer func() {
		res.at = time.Now()
		deliver(res)
	}()
	defer func() {
		if v := recover(); v != nil {
			res.result, res.stack = report.ResultPanicked, string(debug.Stack())
			res.text = "(the value of the panic has no text)"
			res.err, _ = v.(error)
			describe(&res.text, v)
		}
	}()
	err := fn()
	if err == nil {
		res.result = report.ResultOK
		return
	}
	res.result, res.err, res.text = report.ResultFailed, err, "(its Error method did not return)"
	describe(&res.text, err)
}

// describe puts the text of a value where text points, and leaves that alone if
// the value's own method panics, or leaves by runtime.Goexit. Of a value that has
// no text of its own only the type is told: to print the rest would read memory
// that others may be writing.
func describe(text *string, v any) {
	defer func() { _ = recover() }()
	switch v := v.(type) {
	case error:
		*text = v.Error()
	case fmt.Stringer:
		*text = v.String()
	case string:
		*text = v
	case bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, uintptr, float32, float64, complex64, complex128:
		*text = fmt.Sprint(v)
	default:
		*text = fmt.Sprintf("(a value of type %T)", v)
	}
}
