package drain

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lastcall-go/lastcall/internal/connset"
)

var errStopped = errors.New("drain: the group was stopped")

// PanicError says that a function given to [Watcher.Go] did not return, but
// panicked or called runtime.Goexit.
type PanicError struct {
	Name  string // the task's
	Value any    // the panic's; nil: runtime.Goexit
	Stack string // where it panicked; "" for runtime.Goexit
}

// Error names the task and the panic's value: its text, or of a value that has none
// the type.
func (e *PanicError) Error() string { return fmt.Sprintf("drain: task %q %s", e.Name, e.how()) }

func (e *PanicError) how() string {
	switch v := e.Value.(type) {
	case nil:
		return "called runtime.Goexit"
	case error, fmt.Stringer, string,
		bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, uintptr, float32, float64, complex64, complex128:
		return fmt.Sprintf("panicked: %v", v)
	default: // to print it would read memory that others may be writing
		return fmt.Sprintf("panicked: (a value of type %T)", v)
	}
}

// Unwrap returns the panic's value if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

var errNilFunction = errors.New("drain: a nil function")

// maxFailures is how many failures a group tells one by one.
const maxFailures = 10

// failure is a panic of user code, or what else went wrong with it.
type failure struct {
	what string
	err  error
}

// note keeps a failure for Notes.
func (g *Group) note(what string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.failures) == maxFailures {
		g.more++
		return
	}
	g.failures = append(g.failures, failure{what, err})
}

// fail takes in that a task has failed.
func (g *Group) fail(p *PanicError) {
	g.mu.Lock()
	first := g.failure == nil
	if first {
		g.failure = p
		close(g.failed)
	}
	g.mu.Unlock()
	if !first {
		g.note("task "+p.Name, p)
	}
}

// tellFailure returns what made Serve return.
func (g *Group) tellFailure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.told = true
	return g.failure
}

// Notes returns what an operator should know: functions that panicked, unless Serve has
// returned the error, connections that could not be woken, and how much work was refused. The
// controller calls it.
func (g *Group) Notes() []string {
	if g.isZero() {
		return nil
	}
	g.mu.Lock()
	failed, more, refused := slices.Clone(g.failures), g.more, g.refused
	if g.failure != nil && !g.told {
		failed = slices.Insert(failed, 0, failure{"task " + g.failure.Name, g.failure})
	}
	g.mu.Unlock()
	var notes []string
	for _, f := range failed { // their texts may be foreign
		notes = append(notes, f.text())
	}
	if more > 0 {
		notes = append(notes, fmt.Sprintf("%d more failed", more))
	}
	return append(notes, connset.Counted(refused, "1 piece of work came after the group was closed and was refused",
		"%d pieces of work came after the group was closed and were refused")...)
}

func (f failure) text() string {
	switch p, panicked := f.err.(*PanicError); { //nolint:errorlint // nothing has wrapped it
	case panicked:
		return f.what + " " + p.how()
	case f.err == errNilFunction: //nolint:errorlint // the same
		return f.what + " was given a nil function"
	default:
		return f.what + " failed: " + f.err.Error()
	}
}
