// Package proptest has the worlds in which the properties at the root run a
// controller, and the invariants that they check.
//
// A world is everything that is not the controller: servers, workers, hooks,
// observers, log writers and clients, behaving as a plan says that rapid has drawn.
// What they see goes into a [Log]: when each call came in, when it left and how, and
// when the context that it was given ended. An invariant judges a [Run] by that log,
// and compares the report with it. It knows what docs/guarantees.md says and what a
// Budget means; how the engine divides its time it does not know.
//
// Only files of tests import this package.
package proptest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Log is what a world saw, in the order in which it saw it. Its methods may be called
// by any number of goroutines.
type Log struct {
	mu    sync.Mutex
	seq   int
	spans []*Span
	asks  []Ask
	heard []Heard
	wrong []string
	turns int // its length when the world began to turn
}

// How tells how a call came back.
type How uint8

// The ways to come back. Running: it has not.
const (
	Running How = iota
	Returned
	Failed // returned an error
	Panicked
	Exited // called runtime.Goexit
)

func (h How) String() string {
	return [...]string{"runs", "returned", "failed", "panicked", "exited"}[h]
}

// Span is one call into the world.
type Span struct {
	Op   op
	Name string
	In   time.Time
	Out  time.Time // zero: it has not come back
	How  How
	Err  error

	// Told is when the context that it was given ended, if that was before it came back
	// or in the same instant, and Cause is why. Claim is the same for a worker's claim.
	Told, Claim time.Time
	Cause       error

	Text  string // what was written or answered
	Value any    // what it returned

	in, out int // its place in the log
}

// Ask is a request to shut down, or to hurry.
type Ask struct {
	At   time.Time
	What string    // shutdown, fail, force, context, signal (SIGTERM), interrupt (SIGINT), shorten
	To   time.Time // of shorten: the deadline
	seq  int
}

// Heard is a Step as the world's own observer heard it.
type Heard struct {
	At   time.Time
	Step Step
	seq  int
}

func (l *Log) do(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	f()
}

// ask notes a request to shut down, right before it is made.
func (l *Log) ask(what string, to time.Duration) {
	now := time.Now()
	l.do(func() { l.asks = append(l.asks, Ask{At: now, What: what, To: now.Add(to), seq: l.seq}) })
}

// hear is an observer that takes no time.
func (l *Log) hear(s Step) {
	l.do(func() { l.heard = append(l.heard, Heard{At: time.Now(), Step: s, seq: l.seq}) })
}

// blame notes a fault that the world sees by itself.
func (l *Log) blame(format string, args ...any) {
	l.do(func() { l.wrong = append(l.wrong, fmt.Sprintf(format, args...)) })
}

func (l *Log) enter(o op, name string) *Span {
	s := &Span{Op: o, Name: name, In: time.Now()}
	l.do(func() { s.in = l.seq; l.spans = append(l.spans, s) })
	return s
}

func (l *Log) leave(s *Span, how How, err error) {
	l.do(func() { s.Out, s.How, s.Err, s.out = time.Now(), how, err, l.seq })
}

// watch notes when a context ends while a span runs. In the instant in which it comes back
// that counts, too, unless the context ends because of that.
func (l *Log) watch(ctx context.Context, s *Span, at *time.Time) {
	context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		l.do(func() {
			switch now := time.Now(); {
			case s.How != Running && (!s.Out.Equal(now) || cause == context.Canceled): //nolint:errorlint // it is not wrapped
			case at == &s.Told:
				s.Told, s.Cause = now, cause
			default:
				*at = now
			}
		})
	})
}

// call makes a call of the world a span. An error whose text hangs has not come back.
func (l *Log) call(ctx context.Context, o op, name string, f func(*Span) error) (err error) {
	s := l.enter(o, name)
	l.watch(ctx, s, &s.Told)
	how := Exited
	defer func() {
		v := recover()
		switch hostile := (*hostileError)(nil); {
		case v != nil:
			how = Panicked
		case errors.As(err, &hostile):
			return
		}
		l.leave(s, how, err)
		if v != nil {
			panic(v)
		}
	}()
	err = f(s)
	how = Returned
	if err != nil {
		how = Failed
	}
	return err
}

// freeze returns copies of everything that has been noted.
func (l *Log) freeze() *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &Log{turns: l.turns, asks: slices.Clone(l.asks), heard: slices.Clone(l.heard), wrong: slices.Clone(l.wrong)}
	for _, s := range l.spans {
		one := *s
		c.spans = append(c.spans, &one)
	}
	return c
}

// timeline writes everything that was noted, in order, with times counted from zero.
func (l *Log) timeline(b *strings.Builder, zero time.Time) {
	type line struct {
		seq int
		at  time.Time
		who string
	}
	var lines []line
	add := func(seq int, at time.Time, format string, args ...any) {
		lines = append(lines, line{seq, at, fmt.Sprintf(format, args...)})
	}
	for _, s := range l.spans {
		who, text := fmt.Sprintf("%s %s", s.Op, s.Name), strings.TrimSpace(s.Text)
		if s.Err != nil {
			text = s.Err.Error()
		}
		switch atOnce := s.In.Equal(s.Out); {
		case atOnce && s.Op == opObserve: // too many
		case atOnce && s.How != Running:
			add(s.in, s.In, "%s %v at once %s", who, s.How, text)
		default:
			add(s.in, s.In, "%s ... %s", who, text)
			if s.How != Running {
				add(s.out, s.Out, "%s %v after %v", who, s.How, s.Out.Sub(s.In))
			}
		}
		for what, at := range map[string]time.Time{"its context has ended": s.Told, "its claim has ended": s.Claim} {
			if !at.IsZero() {
				add(s.in, at, "%s: %s", who, what)
			}
		}
	}
	for _, a := range l.asks {
		add(a.seq, a.At, "ASKED: %s", a.What)
	}
	for _, h := range l.heard {
		if h.Step.Op == "" {
			add(h.seq, h.At, "HEARD: %v", h.Step)
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return a.seq - b.seq
	})
	for _, n := range lines {
		fmt.Fprintf(b, "%10v %s\n", n.at.Sub(zero), n.who)
	}
}
