package controller_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/controller"
)

// arriving is a server that knows when work last came.
type arriving struct {
	*server
	asked atomic.Int32
	last  func() time.Time
}

func (a *arriving) LastArrival() time.Time {
	if a.asked.Add(1) == 1 || a.last == nil { // WithServer, for the first
		return a.d.start
	}
	return a.last()
}

// arrivals returns a LastArrival for work that comes at these times after the
// diary was opened.
func arrivals(d *diary, after ...time.Duration) func() time.Time {
	return func() time.Time {
		last := d.start
		for _, a := range after {
			if at := d.start.Add(a); !at.After(time.Now()) {
				last = at
			}
		}
		return last
	}
}

var quietBudget = controller.Budget{Total: 10 * time.Second, Settle: 2 * time.Second, Quiet: 500 * time.Millisecond, Reserve: 4 * time.Second}

// G4: settle ends when no work has come for Quiet, and nobody polls for that. What
// does not answer, or cannot, never lets it end early.
func TestG4_QuietEndsSettle(t *testing.T) {
	const ms = time.Millisecond
	at := func(after time.Duration) time.Duration { return time.Minute + after }
	busy := []time.Duration{}
	for i := range 100 {
		busy = append(busy, at(time.Duration(i)*100*ms+ms))
	}
	tests := map[string]struct {
		last      func(d *diary, hang func()) func() time.Time
		want      time.Duration // the length of settle
		questions int
		failure   controller.Result
	}{
		"nothing comes":      {func(d *diary, _ func()) func() time.Time { return arrivals(d) }, 500 * ms, 1, 0},
		"long before":        {func(d *diary, _ func()) func() time.Time { return arrivals(d, at(-100*ms)) }, 500 * ms, 1, 0},
		"one comes":          {func(d *diary, _ func()) func() time.Time { return arrivals(d, at(300*ms)) }, 800 * ms, 2, 0},
		"a few come":         {func(d *diary, _ func()) func() time.Time { return arrivals(d, at(300*ms), at(400*ms), at(800*ms)) }, 1300 * ms, 3, 0},
		"one comes too late": {func(d *diary, _ func()) func() time.Time { return arrivals(d, at(501*ms)) }, 500 * ms, 1, 0},
		"always busy":        {func(d *diary, _ func()) func() time.Time { return arrivals(d, busy...) }, 2 * time.Second, 4, 0},
		"busy to the end": {func(d *diary, _ func()) func() time.Time {
			return arrivals(d, at(450*ms), at(900*ms), at(1350*ms), at(1800*ms))
		}, 2 * time.Second, 4, 0},
		"hangs":         {func(_ *diary, hang func()) func() time.Time { return func() time.Time { hang(); return time.Now() } }, 2 * time.Second, 1, controller.ResultTimedOut},
		"panics":        {func(*diary, func()) func() time.Time { return func() time.Time { panic("no clock") } }, 2 * time.Second, 1, controller.ResultPanicked},
		"has forgotten": {func(*diary, func()) func() time.Time { return func() time.Time { return time.Time{} } }, 2 * time.Second, 1, 0},
		"in the far future": {func(*diary, func()) func() time.Time {
			return func() time.Time { return time.Now().AddDate(200, 0, 0) }
		}, 2 * time.Second, 1, 0},
		"slow": {func(d *diary, _ func()) func() time.Time {
			return func() time.Time { time.Sleep(100 * ms); return arrivals(d)() }
		}, 600 * ms, 1, 0},
		// Work came while it was asked. When the answer is there, Quiet is over once more,
		// but nobody knows what came since.
		"slow and busy": {func(d *diary, _ func()) func() time.Time {
			last := arrivals(d, at(200*ms))
			return func() time.Time { got := last(); time.Sleep(400 * ms); return got }
		}, 1300 * ms, 2, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, hang func()) {
				a := &arriving{server: newServer(d, "a", 0), last: tt.last(d, hang)}
				idle := &arriving{server: newServer(d, "idle", 0)}
				c := mustNew(t, quietBudget, noSignals, controller.WithServer("a", a), controller.WithServer("idle", idle))
				r, _ := runAfter(c, time.Minute)
				for _, s := range r.Steps {
					if s.Kind == controller.KindPhase && s.Phase == controller.PhaseSettle && s.Duration != tt.want {
						t.Errorf("settle lasted %v, want %v", s.Duration, tt.want)
					}
				}
				if got := int(a.asked.Load()) - 1; got != tt.questions {
					t.Errorf("LastArrival was called %d times in phase settle, want %d", got, tt.questions)
				}
				switch {
				case tt.failure == 0:
					wantExit(t, r, controller.ExitOK)
				case step(t, r, controller.OpLastArrival, "a").Result != tt.failure:
					t.Errorf("want LastArrival to be %v\n%v", tt.failure, r)
				}
			})
		})
	}
}

// G4: a force, or the last Serve, ends a settle that waits for an answer.
func TestG4_NothingWaitsForLastArrival(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		a := &arriving{server: newServer(d, "a", 0), last: func() time.Time { hang(); return time.Now() }}
		c := mustNew(t, quietBudget, noSignals, controller.WithServer("a", a))
		time.AfterFunc(time.Minute+700*time.Millisecond, c.Force)
		r, took := runAfter(c, time.Minute)
		if took < 700*time.Millisecond || took > 720*time.Millisecond { // and 10 ms for what was begun just now
			t.Errorf("Run returned %v after the trigger\n%v", took, r)
		}
	})
}

// Quiet needs servers that can tell, and a settle to end.
func TestQuietRefuses(t *testing.T) {
	const s = time.Second
	tests := []struct {
		quiet, settle time.Duration
		want          string
	}{
		{-s, 2 * s, "Quiet is -1s, must not be negative"},
		{s, 0, "Quiet is 1s, but Settle is 0s"},
		{3 * s, 2 * s, "Quiet is 3s, must not be longer than Settle 2s"},
		{2 * s, 2 * s, ""},
		{1, 1, ""},
	}
	for _, tt := range tests {
		err := controller.Budget{Total: 10 * s, Settle: tt.settle, Quiet: tt.quiet, Reserve: s}.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Quiet %v with Settle %v: error %v, want %q", tt.quiet, tt.settle, err, tt.want)
		}
	}

	d := newDiary()
	plain := controller.WithServer("plain", newServer(d, "plain", 0))
	unknown := newServer(&diary{}, "unknown", 0) // whose diary was opened at the zero time
	c, err := controller.New(quietBudget, noSignals, plain, controller.WithServer("unknown", &arriving{server: unknown}))
	for _, want := range []string{
		`controller: server "plain" cannot tell when an RPC last arrived, so Budget.Quiet cannot work: it has no LastArrival`,
		`controller: server "unknown" cannot tell when an RPC last arrived, so Budget.Quiet cannot work: its LastArrival returned the zero time`,
	} {
		if c != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New says %v, want %q", err, want)
		}
	}
	c, err = controller.New(quietBudget, noSignals)
	if err != nil {
		t.Fatalf("without servers: %v", err)
	}
	if err := c.Add(plain); err == nil {
		t.Error("Add took a server that cannot tell")
	}
	if err := c.Add(controller.WithServer("a", &arriving{server: newServer(d, "a", 0)})); err != nil {
		t.Error(err)
	}
	if _, err := controller.New(quietBudget, controller.WithServer("nil", (*arriving)(nil))); err == nil || strings.Contains(err.Error(), "LastArrival") {
		t.Errorf("a nil server: %v", err)
	}
}

// A Life with another Draining channel keeps the timer, also one that moves.
func TestWithDraining(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		e := &attached{server: newServer(d, "s", time.Second)}
		c := mustNew(t, budget, noSignals, controller.WithServer("s", e))
		own := make(chan struct{})
		var later atomic.Pointer[controller.Life]
		time.AfterFunc(time.Second, func() {
			life := e.life.Load().WithDraining(own)
			later.Store(&life)
			if _, known := life.TimerAt(); known {
				t.Error("the timer is known before the trigger")
			}
		})
		check := func() {
			ctx := controller.NewContext(context.Background(), *later.Load())
			want, known := e.life.Load().TimerAt()
			if got, ok := controller.TimerAt(ctx); !known || !ok || !got.Equal(want) {
				t.Errorf("the timer is said to fire at %v, want %v", got, want)
			}
			if controller.Draining(ctx) != (<-chan struct{})(own) {
				t.Error("Draining is not the channel that was given")
			}
		}
		time.AfterFunc(time.Minute+2500*time.Millisecond, func() { check(); c.Force(); time.Sleep(time.Millisecond); check() })
		runAfter(c, time.Minute)
		select {
		case <-own:
			t.Error("the controller closed a channel that is not its own")
		case <-e.life.Load().Draining():
		}
	})
	own := make(chan struct{})
	life := controller.Life{}.WithDraining(own)
	if at, known := life.TimerAt(); known || life.Draining() != (<-chan struct{})(own) {
		t.Errorf("the zero Life with a channel knows a timer (%v, %v), or has lost the channel", at, known)
	}
	var boxed any
	if n := testing.AllocsPerRun(100, func() { boxed = life }); n > 0 || boxed == nil {
		t.Errorf("to put a Life into an interface allocates %v times", n)
	}
}
