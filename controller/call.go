package controller

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// call is one call into foreign code. It runs on a goroutine of its own, for
// which nobody waits without a bound; the loop, which owns everything here,
// learns of its end through the inbox.
type call struct {
	step   *Step
	due    time.Time // when it should be over; zero: nobody has said
	over   bool      // its result has come
	told   bool      // its end, or that it takes too long, has been told
	quiet  bool      // it is told only if it takes too long
	cancel context.CancelCauseFunc
	then   func(result) // what the loop does with the result, before it is told
}

// ended says whether the call came back in the way a call should.
func (c *call) ended() bool {
	return c != nil && c.over && c.step.Result != ResultPanicked && c.step.Result != ResultGoexit
}

// guard runs foreign code on the calling goroutine and hands over how it ended:
// returned, panicked, or left by runtime.Goexit. Turning errors and panic values
// into text calls foreign methods, so that happens here as well.
func guard(fn func() error, deliver func(result)) {
	res := result{result: ResultGoexit}
	defer func() {
		res.at = time.Now()
		deliver(res)
	}()
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		stack := string(debug.Stack())
		if res.result == ResultFailed { // fn has returned: it was its error's Error method
			res.text = "(the Error method panicked)"
			return
		}
		res.result, res.stack, res.text = ResultPanicked, stack, "(the value of the panic has no text)"
		res.text = fmt.Sprint(v) // package fmt catches panics of String and Error
	}()
	err := fn()
	if err == nil {
		res.result = ResultOK
		return
	}
	res.result, res.err, res.text = ResultFailed, err, "(the Error method did not return)"
	res.text = err.Error()
}
