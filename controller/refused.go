package controller

import (
	"errors"
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/report"
)

// errRefused is what a line ends with that the writer has refused: it is lost.
var errRefused = errors.New("the log's writer has refused the line")

// tell writes the line of a step, and returns an error if it is lost. zerolog gives the
// error of a writer to its ErrorHandler only, and there is one of that in the process; so
// a line of another logger that was refused in the same moment counts here as well.
func (l logger) tell(s report.Step) error {
	before := process.refused.Load()
	l.observe(s)
	if process.refused.Load() > before {
		return errRefused
	}
	return nil
}

// countRefused has the lines counted that writers refuse. The ErrorHandler that was there
// gets the errors as before, or else they are printed, as zerolog does without one.
func countRefused() {
	process.Lock()
	defer process.Unlock()
	if process.counts {
		return
	}
	process.counts = true
	handle := zerolog.ErrorHandler
	if handle == nil {
		handle = func(err error) { fmt.Fprintf(os.Stderr, "zerolog: could not write event: %v\n", err) }
	}
	zerolog.ErrorHandler = func(err error) {
		process.refused.Add(1)
		handle(err)
	}
}
