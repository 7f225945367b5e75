package controller_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// canceling is a server that is cancelled, and cut if it has a cut.
type canceling struct {
	*server
	lastcall.Unimplemented
	cancel func(ctx context.Context, cause error)
}

func (c *canceling) Cancel(ctx context.Context, cause error) { c.cancel(ctx, cause) }

type cutting struct {
	*canceling
	cut func() int
}

func (c *cutting) Cut() int { return c.cut() }

// G2: the context of Cancel has the values of Run's context and the Life, and ends
// with the phase's sixth of the 4 s. To come back then is no failure; not to come
// back until phase close begins is one.
func TestG2_CancelHasItsShare(t *testing.T) {
	for name, late := range map[string]bool{"obeys": false, "hangs": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, hang func()) {
				type key struct{}
				s := &canceling{server: newServer(d, "s", time.Hour)}
				s.stop = func() { time.Sleep(100 * time.Millisecond) }
				s.cancel = func(ctx context.Context, cause error) {
					timer, known := lastcall.TimerAt(ctx)
					if !errors.Is(cause, lastcall.ErrTimer) || ctx.Value(key{}) != "value" || !known || !timer.Equal(time.Now()) || lastcall.Draining(ctx) == nil {
						t.Errorf("Cancel was given the cause %v, the value %v, a timer at %v", cause, ctx.Value(key{}), timer)
					}
					<-ctx.Done()
					d.note(context.Cause(ctx).Error())
					if late {
						hang()
					}
				}
				c := mustNew(t, budget, noSignals, withServer("s", s))
				time.AfterFunc(time.Minute, func() { c.Shutdown(nil) })
				ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, "value"))
				defer cancel()
				r := c.Run(ctx)
				share := 4 * time.Second / 6
				at := (time.Minute + 6*time.Second + share).String()
				d.wantTies(t, "s graceful 1m2s", lastcall.ErrStepTime.Error()+" "+at, "s stop "+at)
				switch got := step(t, r, report.OpCancel, "s"); {
				case late && (got.Result != report.ResultTimedOut || !got.Abandoned || got.Duration != share+100*time.Millisecond):
					t.Errorf("a Cancel that hangs is reported as %v after %v, abandoned: %v", got, got.Duration, got.Abandoned)
				case !late && (got.Result != report.ResultOK || got.Duration != share):
					t.Errorf("a Cancel that obeys is reported as %v after %v", got, got.Duration)
				}
			})
		})
	}
}

// G4: phase cancel ends with the last Cancel, and Stop is called in that instant.
func TestG4_CancelThatIsDoneSooner(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		s := &canceling{server: newServer(d, "s", time.Hour), cancel: func(context.Context, error) { time.Sleep(30 * time.Millisecond) }}
		q := &canceling{server: newServer(d, "q", time.Hour), cancel: func(context.Context, error) { panic("at once") }}
		r, took := runAfter(mustNew(t, budget, noSignals, withServer("s", s), withServer("q", q)), time.Minute)
		wantTook(t, took, 6*time.Second+30*time.Millisecond)
		if got := step(t, r, report.OpCancel, "q"); got.Result != report.ResultPanicked {
			t.Errorf("a Cancel that panics is reported as %v", got)
		}
	})
}

// A Cancel that waits for its context hears of GracefulStop: it returns when that has
// returned, not before and not later, and Stop has ended nothing. The outcome does not
// depend on which of two goroutines the machine lets run first.
func TestCancelHearsOfGracefulStop(t *testing.T) {
	for name, lingers := range map[string]bool{"before Serve": true, "with Serve": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				s, asked := newServer(d, "s", 0), make(chan struct{})
				s.graceful = func() { <-asked; time.Sleep(30 * time.Millisecond) }
				s.serve = func() error {
					<-asked
					if lingers {
						time.Sleep(50 * time.Millisecond)
					}
					time.Sleep(30 * time.Millisecond)
					return nil
				}
				e := &canceling{server: s, cancel: func(ctx context.Context, _ error) {
					close(asked)
					<-ctx.Done()
					d.note("heard: " + ctx.Err().Error())
				}}
				r, _ := runAfter(mustNew(t, budget, noSignals, withServer("s", e)), time.Minute)
				d.wantTies(t, "s graceful 1m2s", "heard: context canceled 1m6.03s", "s stop 1m6.03s")
				if r.Outcome != report.OutcomeCancelled {
					t.Errorf("%v", r)
				}
			})
		})
	}
}

// Where GracefulStop had returned before the timer, and Serve has not, the context of
// Cancel has ended when Cancel is called.
func TestCancelAfterGracefulStop(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		s, asked := newServer(d, "s", 0), make(chan struct{})
		s.serve = func() error { <-asked; return nil }
		e := &canceling{server: s, cancel: func(ctx context.Context, _ error) {
			<-ctx.Done()
			d.note("heard: " + ctx.Err().Error())
			close(asked)
		}}
		r, _ := runAfter(mustNew(t, budget, noSignals, withServer("s", e)), time.Minute)
		d.wantTies(t, "s graceful 1m2s", "heard: context canceled 1m6s")
		if r.Outcome != report.OutcomeCancelled {
			t.Errorf("%v", r)
		}
	})
}

// G4: a Cancel that has nothing to cancel costs no time: the forced end of a server
// whose GracefulStop needs Stop to return is over in the timer's instant.
func TestG4_NothingToCancel(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		front := &canceling{server: newServer(d, "front", time.Hour), cancel: func(context.Context, error) { d.note("front cancel") }}
		back := &canceling{server: newServer(d, "back", time.Hour), cancel: func(context.Context, error) { d.note("back cancel") }}
		bare := newServer(d, "bare", time.Hour)
		r, took := runAfter(mustNew(t, budget, noSignals, withServer("front", front),
			withServer("back", back, controller.After("front")), withServer("bare", bare)), time.Minute)
		wantTook(t, took, 6*time.Second)
		d.wantTies(t, "front graceful 1m2s", "bare graceful 1m2s", "back graceful 1m6s", "front cancel 1m6s", "back cancel 1m6s",
			"front stop 1m6s", "back stop 1m6s", "bare stop 1m6s")
		if r.Outcome != report.OutcomeStopped {
			t.Errorf("outcome %v, want stopped", r.Outcome)
		}
	})
}

// G4: a server that ends by itself in phase cancel has no Cancel, and those before it do not
// wait for their turn because of that: they begin when the one behind it has returned.
func TestG4_CancelSkipsWhatIsGone(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		front := &canceling{server: newServer(d, "front", time.Hour), cancel: func(context.Context, error) { d.note("front cancel") }}
		middle := &canceling{server: newServer(d, "middle", 5*time.Millisecond), cancel: func(context.Context, error) { d.note("middle cancel") }}
		back := &canceling{server: newServer(d, "back", time.Hour), cancel: func(context.Context, error) { time.Sleep(10 * time.Millisecond) }}
		runAfter(mustNew(t, budget, noSignals, withServer("front", front), withServer("middle", middle, controller.After("front")),
			withServer("back", back, controller.After("middle"))), time.Minute)
		d.wantTies(t, "front graceful 1m2s", "middle graceful 1m6s", "back graceful 1m6s", "front cancel 1m6.01s",
			"front stop 1m6.01s", "middle stop 1m6.01s", "back stop 1m6.01s")
	})
}

// G5: servers are cancelled before those that they stand After, for whom they work: when
// the Cancels of the inner ones have returned, or their part of the phase's sixth is over.
func TestG5_InnerServersAreCancelledFirst(t *testing.T) {
	const share = 4 * time.Second / 6
	const timer = time.Minute + 6*time.Second
	for name, tt := range map[string]struct {
		inner func(context.Context)
		want  []string // when front and middle are cancelled, after the timer
	}{
		"done soon": {func(context.Context) { time.Sleep(time.Millisecond) }, []string{"front cancel 1m6.003s", "middle cancel 1m6.001s"}},
		"obeys": {func(ctx context.Context) { <-ctx.Done() }, []string{
			"front cancel " + (timer + 2*controller.TurnTime).String(), "middle cancel " + (timer + controller.TurnTime).String(),
		}},
		"panics": {func(context.Context) { panic("at once") }, []string{"front cancel 1m6.002s", "middle cancel 1m6s"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				build := func(name string, cancel func(context.Context)) *canceling {
					return &canceling{server: newServer(d, name, time.Hour), cancel: func(ctx context.Context, _ error) {
						d.note(name + " cancel")
						cancel(ctx)
					}}
				}
				pause := func(context.Context) { time.Sleep(2 * time.Millisecond) }
				r, _ := runAfter(mustNew(t, budget, noSignals,
					withServer("front", build("front", pause)),
					withServer("inner", build("inner", tt.inner), controller.After("front", "middle")),
					withServer("middle", build("middle", pause), controller.After("front")),
					withServer("alone", build("alone", pause)),
				), time.Minute)
				var got []string
				for _, line := range d.lines {
					if strings.Contains(line, "cancel") {
						got = append(got, line)
					}
				}
				slices.Sort(got)
				want := append([]string{"alone cancel 1m6s", "inner cancel 1m6s"}, tt.want...)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("%v, want %v", got, want)
				}
				if took := r.Ended.Sub(r.Timer); took > share+time.Millisecond {
					t.Errorf("the end took %v", took)
				}
			})
		})
	}
}

// Servers in many layers cost the loop no time.
func TestManyServersBehindEachOther(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		options := []controller.Option{noSignals}
		var names []string
		for i := range 60 {
			name := "s" + strconv.Itoa(i)
			s := &canceling{server: newServer(d, name, time.Hour), cancel: func(context.Context, error) {}}
			if i == 0 {
				options = append(options, withServer(name, s))
			} else {
				options = append(options, withServer(name, s, controller.After(names...)))
			}
			names = append(names, name)
		}
		_, took := runAfter(mustNew(t, budget, options...), time.Minute)
		wantTook(t, took, 6*time.Second)
	})
}

// G8: whoever obeys the end of a context comes back a little after it. If nothing
// is left to do then, phase close begins in the meantime, and that does not make
// the Cancel late; 10 ms do.
func TestG8_CancelComesBackAfterItsContext(t *testing.T) {
	for after, want := range map[time.Duration]report.Result{
		9 * time.Millisecond:  report.ResultOK,
		11 * time.Millisecond: report.ResultTimedOut,
	} {
		bubble(t, func(t *testing.T, d *diary, _ func()) {
			s := &canceling{server: newServer(d, "s", time.Hour)}
			s.cancel = func(ctx context.Context, _ error) { <-ctx.Done(); time.Sleep(after) }
			r, _ := runAfter(mustNew(t, budget, noSignals, withServer("s", s)), time.Minute)
			if got := step(t, r, report.OpCancel, "s"); got.Result != want {
				t.Errorf("a Cancel that came back %v after its context is reported as %v, want %v", after, got, want)
			}
		})
	}
}

// G8: the same when a force comes, in whatever phase. In real time a busy machine lets the
// Cancel come back late, which would be true.
func TestG8_CancelAndForce(t *testing.T) {
	for i := range 70 {
		bubble(t, func(t *testing.T, d *diary, _ func()) {
			s := &canceling{server: newServer(d, "s", time.Hour)}
			s.cancel = func(ctx context.Context, _ error) { <-ctx.Done() }
			c := mustNew(t, lastcall.Budget{Total: 125 * time.Millisecond, Reserve: 120 * time.Millisecond}, noSignals, withServer("s", s))
			time.AfterFunc(time.Millisecond, func() { c.Shutdown(nil) })
			time.AfterFunc(time.Duration(i)*2*time.Millisecond, c.Force)
			r := c.Run(context.Background())
			if got := step(t, r, report.OpCancel, "s"); got.Result != report.ResultOK || got.Duration >= 100*time.Millisecond {
				t.Errorf("a force %d ms after the start: a Cancel that obeys its context is reported as %v after %v", 2*i, got, got.Duration)
			}
		})
	}
}

// The outcome tells what it was that ended the work.
func TestG3_Outcomes(t *testing.T) {
	const a = time.Millisecond
	for _, tt := range []struct {
		name                string
		cancel, stop, cut   bool          // whether the work ends, before the call returns
		endsLater           time.Duration // than Stop returned
		want                report.Outcome
		stopped, cutEntered bool
	}{
		{name: "cancelled", cancel: true, want: report.OutcomeCancelled, stopped: true},
		{name: "stopped", stop: true, want: report.OutcomeStopped, stopped: true},
		{name: "cut", cut: true, want: report.OutcomeCut, stopped: true, cutEntered: true},
		{name: "stopped, in a moment", endsLater: 9 * a, want: report.OutcomeStopped, stopped: true},
		{name: "stopped, with nothing to cut", endsLater: 11 * a, want: report.OutcomeStopped, stopped: true, cutEntered: true},
		{name: "abandoned", want: report.OutcomeAbandoned, stopped: true, cutEntered: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, hang func()) {
				s := newServer(d, "s", 0)
				ended := make(chan struct{})
				over := make(chan struct{})
				go func() { hang(); close(over) }()
				s.graceful = func() {
					select {
					case <-ended:
					case <-over:
					}
				}
				s.serve = func() error { s.graceful(); return nil }
				end := func(yes bool) {
					if yes {
						close(ended)
					}
					time.Sleep(a)
				}
				s.stop = func() {
					end(tt.stop)
					if tt.endsLater > 0 {
						time.AfterFunc(tt.endsLater, func() { close(ended) })
					}
				}
				e := &cutting{canceling: &canceling{server: s, cancel: func(context.Context, error) { end(tt.cancel) }}, cut: func() int {
					end(tt.cut)
					if tt.cut {
						return 1
					}
					return 0
				}}
				r, _ := runAfter(mustNew(t, budget, noSignals, withServer("s", e)), time.Minute)
				if r.Outcome != tt.want || hasPhase(r, lastcall.PhaseStop) != tt.stopped || hasPhase(r, lastcall.PhaseCut) != tt.cutEntered {
					t.Errorf("outcome %v, want %v\n%v", r.Outcome, tt.want, r)
				}
				if tt.want == report.OutcomeAbandoned {
					wantExit(t, r, report.ExitAbandoned)
				} else {
					wantExit(t, r, report.ExitInterrupted)
				}
				synctest.Wait()
			})
		})
	}
}
