package controller_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/controller"
)

// requests returns the texts of the requests that came after the trigger.
func requests(steps []report.Step) (all []string) {
	for _, s := range steps {
		if s.Kind == report.KindRequest {
			all = append(all, s.String())
		}
	}
	return all
}

// G6: within the window of the trigger a signal is the same request, whatever began the
// shutdown. After that it forces if it is one that does, and changes nothing otherwise.
func TestG6_OneRequest(t *testing.T) {
	short := lastcall.Budget{Total: 5 * time.Second, Reserve: time.Second}
	type then struct {
		after  time.Duration
		signal os.Signal
	}
	const hour = time.Hour
	for name, tt := range map[string]struct {
		budget  lastcall.Budget
		opts    []controller.Option
		trigger func(*controller.Controller, chan<- os.Signal)
		then    []then
		forced  time.Duration // since the trigger; hour: not
	}{
		"SIGINT in the window":              {then: []then{{time.Second - 1, os.Interrupt}}, forced: hour},
		"SIGINT at its end":                 {then: []then{{time.Second, os.Interrupt}}, forced: time.Second},
		"SIGTERM at its end":                {then: []then{{time.Second, syscall.SIGTERM}, {2 * time.Second, syscall.SIGTERM}}, forced: hour},
		"a tenth of Total":                  {budget: short, then: []then{{500*time.Millisecond - 1, os.Interrupt}, {500 * time.Millisecond, os.Interrupt}}, forced: 500 * time.Millisecond},
		"Shutdown":                          {trigger: func(c *controller.Controller, _ chan<- os.Signal) { c.Shutdown(nil) }, then: []then{{time.Second - 1, os.Interrupt}, {time.Second, os.Interrupt}}, forced: time.Second},
		"many":                              {then: []then{{1, os.Interrupt}, {2, syscall.SIGTERM}, {3, os.Interrupt}, {4, syscall.SIGHUP}}, forced: hour},
		"ForceOn(SIGTERM)":                  {opts: []controller.Option{controller.ForceOn(syscall.SIGTERM)}, then: []then{{time.Second, os.Interrupt}, {2 * time.Second, syscall.SIGTERM}}, forced: 2 * time.Second},
		"ForceOn()":                         {opts: []controller.Option{controller.ForceOn()}, then: []then{{time.Second, os.Interrupt}, {2 * time.Second, syscall.SIGTERM}}, forced: hour},
		"Force has no window":               {trigger: func(c *controller.Controller, s chan<- os.Signal) { sigterm(s); synctest.Wait(); c.Force() }, forced: 0},
		"Force, and a signal after it":      {trigger: func(c *controller.Controller, _ chan<- os.Signal) { c.Force() }, then: []then{{time.Millisecond, os.Interrupt}, {time.Second, os.Interrupt}}, forced: 0},
		"a signal with a method that hangs": {then: []then{{time.Second, hostileSignal{}}}, forced: hour},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, hang func()) {
				b := tt.budget
				if b.Total == 0 {
					b = budget
				}
				signals := make(chan os.Signal) // it is read until Run returns
				s := newServer(d, "s", 0)
				s.graceful = hang
				c := mustNew(t, b, append(tt.opts, controller.WithSignalChannel(signals), withServer("s", s), controller.WithFlusher("f", hang))...)
				if tt.trigger == nil {
					tt.trigger = func(_ *controller.Controller, s chan<- os.Signal) { sigterm(s) }
				}
				var sent atomic.Int32
				time.AfterFunc(time.Minute, func() {
					tt.trigger(c, signals)
					synctest.Wait()
					for _, one := range tt.then {
						time.AfterFunc(one.after, func() { signals <- one.signal; sent.Add(1) })
					}
				})
				r := c.Run(context.Background())
				synctest.Wait() // the last one was taken as Run returned
				if sent.Load() != int32(len(tt.then)) {
					t.Errorf("%d of %d signals were taken", sent.Load(), len(tt.then))
				}
				if want := tt.forced != hour; r.Forced != want {
					t.Errorf("forced: %v\n%v", r.Forced, r)
				}
				if at := earliest(b.Total-b.Reserve, tt.forced); !r.Timer.Equal(r.Triggered.Add(at)) {
					t.Errorf("the timer fired at +%v, want %v", r.Timer.Sub(r.Triggered), at)
				}
				wantTook(t, r.Took(), earliest(b.Total, tt.forced+b.Reserve))
			})
		})
	}
}

func earliest(a, b time.Duration) time.Duration { return min(a, b) }

// hostileSignal is a signal of the user's. To ask it for its name would not come back.
type hostileSignal struct{ _ []int }

func (hostileSignal) Signal()        {}
func (hostileSignal) String() string { select {} }

// G9: observers and the log are told what a signal has changed; of a source that never
// stops they are told ten times.
func TestG9_Requests(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		signals := make(chan os.Signal)
		var log bytes.Buffer
		var told []report.Step
		c := mustNew(t, budget, controller.WithSignalChannel(signals), withServer("s", newServer(d, "s", time.Hour)),
			controller.WithObserver("o", func(s report.Step) { told = append(told, s) }), controller.WithLogger(zerolog.New(&log)))
		time.AfterFunc(time.Minute, func() {
			for range 70 {
				sigterm(signals)
				time.Sleep(20 * time.Millisecond)
			}
			signals <- os.Interrupt
		})
		r := c.Run(context.Background())
		var want []string
		for _, text := range []string{"signal: terminated: the same request as the one before", "signal: terminated: already shutting down: Run returns by 2000-01-01T00:01:10.000Z"} {
			for range 9 {
				want = append(want, text)
			}
			want = append(want, text+"; further ones are not told")
		}
		want = append(want, "Force: signal: interrupt: Run returns by 2000-01-01T00:01:05.400Z")
		for what, got := range map[string][]string{"report": requests(r.Steps), "observer": requests(told)} {
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("the %s has\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		for _, text := range want {
			if !strings.Contains(log.String(), `"message":"`+text+`"`) || !strings.Contains(r.String(), "  request   "+text+"; in phase settle, at +") {
				t.Errorf("log and report do not have %q:\n%s\n%v", text, log.String(), r)
			}
		}
	})
}

// In a bubble the signals of the process cannot be heard: that is an error, and not the
// end of the test binary.
func TestSignalsInABubble(t *testing.T) {
	for name, opts := range map[string][]controller.Option{"default": nil, "WithSignals": {controller.WithSignals(syscall.SIGHUP)}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, _ *diary, _ func()) {
				c := mustNew(t, budget, opts...)
				ctx := c.Starting(t.Context())
				r := c.Run(context.Background())
				again, err := c.Wait(context.Background())
				for _, got := range []error{context.Cause(ctx), r.Err(), again.Err()} {
					if err != nil || got == nil || !strings.Contains(got.Error(), "testing/synctest") || !strings.Contains(got.Error(), "WithSignalChannel") {
						t.Errorf("the error is %v, %v", got, err)
					}
				}
				wantExit(t, r, report.ExitNotRun)
			})
		})
	}
}

// Bad signals are refused.
func TestForceOnRefuses(t *testing.T) {
	for want, opts := range map[string][]controller.Option{
		"killed cannot be caught":            {controller.ForceOn(os.Kill)},
		"is not a signal of this platform":   {controller.ForceOn(hostileSignal{})},
		"ForceOn was given twice":            {controller.ForceOn(os.Interrupt), controller.ForceOn()},
		"ForceOn: hangup does not trigger":   {controller.ForceOn(syscall.SIGHUP)},
		"ForceOn: terminated does not trigg": {controller.ForceOn(syscall.SIGTERM), controller.WithSignals(syscall.SIGHUP)},
		"nothing else":                       {controller.Together(controller.ForceOn())},
	} {
		if _, err := controller.New(budget, opts...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	for name, opts := range map[string][]controller.Option{
		"named":     {controller.ForceOn(syscall.SIGHUP), controller.WithSignals(syscall.SIGHUP)},
		"a channel": {controller.Options(controller.ForceOn(syscall.SIGHUP), controller.WithSignalChannel(make(chan os.Signal)))},
		"later":     {controller.WithSignals(syscall.SIGHUP)},
	} {
		c, err := controller.New(budget, opts...)
		if err == nil && name == "later" {
			err = c.Add(controller.ForceOn(syscall.SIGHUP))
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// shortened is the run of a server that hangs until the timer, and a closer that hangs.
func shortened(t *testing.T, b lastcall.Budget, shorten func(c *controller.Controller, trigger time.Time)) (r report.Report) {
	t.Helper()
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		s := newServer(d, "s", 0)
		s.graceful = hang
		c := mustNew(t, b, noSignals, withServer("s", s), controller.WithCloser("c", hang), controller.WithFlusher("f", hang))
		trigger := time.Now().Add(time.Minute)
		time.AfterFunc(time.Minute, func() { c.Shutdown(errAsked) })
		go shorten(c, trigger)
		r = c.Run(context.Background())
		if at, known := c.Deadline(); !known || !at.Equal(r.Deadline) {
			t.Errorf("Deadline returns %v, the report has %v", at, r.Deadline)
		}
		if at, known := c.Life().TimerAt(); !known || !at.Equal(r.Timer) {
			t.Errorf("TimerAt returns %v, the report has %v", at, r.Timer)
		}
	})
	return r
}

// G1: Shorten brings the deadline forward, and what is left of settle, drain and Reserve
// shrinks in the same proportion. It never moves anything back.
func TestG1_Shorten(t *testing.T) {
	sec := time.Second
	b := lastcall.Budget{Total: 25 * sec, Settle: 5 * sec, Reserve: 5 * sec}
	type call struct{ at, to time.Duration }
	for name, tt := range map[string]struct {
		calls                  []call
		settle, timer, returns time.Duration
		why                    report.SettleEnd
	}{
		"not":                            {nil, 5 * sec, 20 * sec, 25 * sec, report.SettleTime},
		"at the trigger":                 {[]call{{0, 5 * sec}}, sec, 4 * sec, 5 * sec, report.SettleShortened},
		"before the trigger":             {[]call{{-10 * sec, 5 * sec}}, sec, 4 * sec, 5 * sec, report.SettleShortened},
		"before, and it had passed":      {[]call{{-10 * sec, -5 * sec}}, 5 * sec, 20 * sec, 25 * sec, report.SettleTime},
		"in settle":                      {[]call{{sec, 7 * sec}}, 2 * sec, 5750 * time.Millisecond, 7 * sec, report.SettleShortened},
		"in the drain":                   {[]call{{15 * sec, 20 * sec}}, 5 * sec, 17500 * time.Millisecond, 20 * sec, report.SettleTime},
		"in close":                       {[]call{{22 * sec, 23 * sec}}, 5 * sec, 20 * sec, 23 * sec, report.SettleTime},
		"to a time that has passed":      {[]call{{10 * sec, 9 * sec}}, 5 * sec, 10 * sec, 10 * sec, report.SettleTime},
		"in settle, to now":              {[]call{{sec, sec}}, sec, sec, sec, report.SettleTimer},
		"later than it is":               {[]call{{sec, 26 * sec}}, 5 * sec, 20 * sec, 25 * sec, report.SettleTime},
		"the same":                       {[]call{{sec, 25 * sec}}, 5 * sec, 20 * sec, 25 * sec, report.SettleTime},
		"twice":                          {[]call{{0, 10 * sec}, {0, 5 * sec}}, sec, 4 * sec, 5 * sec, report.SettleShortened},
		"twice, the nearer first":        {[]call{{0, 5 * sec}, {0, 10 * sec}}, sec, 4 * sec, 5 * sec, report.SettleShortened},
		"after the deadline is near":     {[]call{{24*sec + 999*time.Millisecond, 25*sec - 1}}, 5 * sec, 20 * sec, 25*sec - 1, report.SettleTime},
		"by a nanosecond at the trigger": {[]call{{0, 25*sec - 1}}, 5*sec - 1, 20*sec - 1, 25*sec - 1, report.SettleShortened},
	} {
		t.Run(name, func(t *testing.T) {
			r := shortened(t, b, func(c *controller.Controller, trigger time.Time) {
				for _, one := range tt.calls {
					time.Sleep(time.Until(trigger.Add(one.at)))
					synctest.Wait()
					c.Shorten(trigger.Add(one.to), "the node goes")
				}
			})
			wantTook(t, r.Took(), tt.returns)
			if got := r.Timer.Sub(r.Triggered); got != tt.timer {
				t.Errorf("the timer fired at +%v, want %v", got, tt.timer)
			}
			settle := time.Duration(0)
			for _, s := range r.Steps {
				if s.Kind == report.KindPhase && s.Phase == lastcall.PhaseSettle {
					settle = s.Duration
				}
			}
			if settle != tt.settle || r.Settle != tt.why {
				t.Errorf("settle took %v (%s), want %v (%s)", settle, r.Settle, tt.settle, tt.why)
			}
			if r.Deadline.Sub(r.Triggered) != tt.returns {
				t.Errorf("the report's deadline is +%v", r.Deadline.Sub(r.Triggered))
			}
		})
	}
}

// A deadline that was read from text holds by the monotonic clock: setting the other one back
// does not move it. (Bubbles have no monotonic clock.)
func TestG1_ShortenAndSetClock(t *testing.T) {
	release, told := make(chan struct{}), make(chan struct{})
	c := mustNew(t, lastcall.Budget{Total: time.Hour, Reserve: time.Minute}, noSignals,
		controller.WithCloser("c", func(context.Context) error { <-release; return nil }),
		controller.WithObserver("o", func(s report.Step) {
			if s.Kind == report.KindRequest {
				close(told)
			}
		}))
	over := make(chan struct{})
	go func() { defer close(over); c.Run(context.Background()) }()
	c.Shutdown(errAsked)
	c.Shorten(time.Now().Add(time.Minute).Round(0), "spot")
	<-told
	if at, known := c.Deadline(); !known || !strings.Contains(at.String(), " m=") || time.Until(at) > time.Minute {
		t.Errorf("the deadline is %v", at)
	}
	close(release)
	<-over
}

// Observers are told until when, and the first line after the trigger says it as well.
// Each place from which it may be called may call it.
func TestShortenIsTold(t *testing.T) {
	for _, from := range []string{"before Run", "observer", "closer", "worker", "announcer"} {
		t.Run(from, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, hang func()) {
				var log bytes.Buffer
				var c *controller.Controller
				shorten := func(where string) {
					if where == from {
						c.Shorten(d.start.Add(time.Minute+3*time.Second), "spot:\nreclaimed")
					}
				}
				c = mustNew(t, budget, noSignals, controller.WithLogger(zerolog.New(&log)),
					controller.WithObserver("o", func(s report.Step) {
						if s.Kind == report.KindTrigger {
							shorten("observer")
						}
					}),
					controller.WithAnnouncer("a", func() { shorten("announcer") }),
					controller.WithWorker("w", func(claim, _ context.Context) error { <-claim.Done(); shorten("worker"); return nil }),
					controller.WithCloser("c", func() { shorten("closer"); hang() }), controller.WithFlusher("f", hang))
				shorten("before Run")
				c.Shorten(time.Time{}, "no time")
				r, took := runAfter(c, time.Minute)
				wantTook(t, took, 3*time.Second)
				want := "Shorten: Run returns by 2000-01-01T00:01:03.000Z, 7s sooner: spot:"
				if got := strings.Join(requests(r.Steps), "\n"); !strings.Contains(got, want+" | reclaimed") || !strings.Contains(got, "zero time, which changes nothing: no time") {
					t.Errorf("told were\n%s", got)
				}
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log has\n%s", log.String())
				}
				if first := `"deadline":"2000-01-01T00:01:03Z","assumes":"no SIGKILL for 10s after the trigger","message":"shutting down"`; from == "before Run" && !strings.Contains(log.String(), first) {
					t.Errorf("the log has\n%s", log.String())
				}
			})
		})
	}
}

// After Run, on a Controller that New has not made, and as often as one likes, it is
// harmless.
func TestShortenIsHarmless(t *testing.T) {
	new(controller.Controller).Shorten(time.Now(), "")
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals)
		for i := range 1000 {
			c.Shorten(time.Now().Add(time.Second), fmt.Sprint(i))
			time.Sleep(time.Second)
		}
		r, took := runAfter(c, time.Minute)
		wantTook(t, took, 0)
		if got := requests(r.Steps); got != nil || !errors.Is(r.Cause, errAsked) {
			t.Errorf("%v", r)
		}
		c.Shorten(time.Now(), "too late")
	})
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		var c *controller.Controller
		c = mustNew(t, budget, noSignals, controller.WithCloser("c", func() {
			for range 1000 {
				c.Shorten(time.Time{}, "no time")
				time.Sleep(time.Millisecond)
			}
		}))
		if r, _ := runAfter(c, time.Minute); len(requests(r.Steps)) != 1 {
			t.Errorf("told were %v", requests(r.Steps))
		}
	})
}
