package controller_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"

	"github.com/rs/zerolog"
)

// listening keeps what an observer was told, and when.
type listeningTo struct {
	mu    sync.Mutex
	steps []report.Step
	at    []time.Time
}

func (l *listeningTo) observe(s report.Step) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps, l.at = append(l.steps, s), append(l.at, time.Now())
}

// pointed makes an error one that can be compared.
type pointed struct{ error }

// hosting shuts down through the Host that Attach is given.
type hosting struct {
	*full
	then func(lastcall.Host)
}

func (h *hosting) Attach(host lastcall.Host) { h.then(host) }

// G9: whatever began the shutdown, the first thing that observers hear after the trigger
// is the cause, and so is the first line of the log. Nothing that was held back for it is
// lost or told twice.
func TestG9_TheCauseComesFirst(t *testing.T) {
	const s = time.Second
	hostile := func(f func()) error { return &pointed{textError(func() string { f(); return "after all" })} }
	const mute = "(its Error method has not returned)"
	shutdown := func(cause error) func(*controller.Controller) {
		return func(c *controller.Controller) { c.Shutdown(cause) }
	}
	type setup struct {
		before func(c *controller.Controller, hang func()) // Run
		at     func(c *controller.Controller, hang func()) // a minute after the start
		opts   func(d *diary) []controller.Option
	}
	in := func(f func(*controller.Controller)) setup {
		return setup{at: func(c *controller.Controller, _ func()) { f(c) }}
	}
	early := func(f func(*controller.Controller)) setup {
		return setup{before: func(c *controller.Controller, _ func()) { f(c) }}
	}
	with := func(opts func(d *diary) []controller.Option) setup { return setup{opts: opts} }
	fails := func(claim, _ context.Context) error { time.Sleep(time.Minute); return errPort }
	for name, tt := range map[string]struct {
		setup
		text   string
		delay  time.Duration // from the trigger to the telling
		failed bool
	}{
		"Shutdown":            {setup: in(shutdown(errAsked)), text: "asked for"},
		"Shutdown(nil)":       {setup: in(shutdown(nil)), text: report.ErrShutdown.Error()},
		"Fail":                {setup: in(func(c *controller.Controller) { c.Fail(errPort) }), text: "port in use", failed: true},
		"Force":               {setup: in((*controller.Controller).Force), text: report.ErrForced.Error()},
		"Shutdown before Run": {setup: early(shutdown(errAsked)), text: "asked for"},
		"Fail before Run":     {setup: early(func(c *controller.Controller) { c.Fail(errPort) }), text: "port in use", failed: true},
		"Force before Run":    {setup: early((*controller.Controller).Force), text: report.ErrForced.Error()},
		"a server fails": {setup: with(func(d *diary) []controller.Option {
			broken := newServer(d, "broken", 0)
			broken.serve = func() error { time.Sleep(time.Minute); return errPort }
			return []controller.Option{withServer("broken", broken)}
		}), text: `Serve "broken" ended by itself: port in use`, failed: true},
		"a worker fails": {setup: with(func(*diary) []controller.Option { return []controller.Option{controller.WithWorker("w", fails)} }), text: `worker "w" ended by itself: port in use`, failed: true},
		"an Attach fails": {setup: with(func(d *diary) []controller.Option {
			return []controller.Option{withServer("h", &hosting{&full{server: newServer(d, "h", 0)}, func(lastcall.Host) { time.Sleep(time.Minute); panic("as written") }})}
		}), text: `Attach "h" ended by itself: panicked: as written`, failed: true},
		"through the Host": {setup: with(func(d *diary) []controller.Option {
			return []controller.Option{withServer("h", &hosting{&full{server: newServer(d, "h", 0)}, func(host lastcall.Host) {
				time.AfterFunc(time.Minute, func() { host.Shutdown(errAsked) })
			}})}
		}), text: "asked for"},
		"Host, in Attach": {setup: with(func(d *diary) []controller.Option {
			return []controller.Option{withServer("h", &hosting{&full{server: newServer(d, "h", 0)}, func(host lastcall.Host) { time.Sleep(time.Minute); host.Shutdown(errAsked) }})}
		}), text: "asked for"},
		"it hangs":            {setup: setup{at: func(c *controller.Controller, hang func()) { c.Shutdown(hostile(hang)) }}, text: mute, delay: 100 * time.Millisecond},
		"it hangs before Run": {setup: setup{before: func(c *controller.Controller, hang func()) { c.Fail(hostile(hang)) }}, text: mute, delay: 100 * time.Millisecond, failed: true},
		"it is slow":          {setup: in(shutdown(hostile(func() { time.Sleep(9 * time.Millisecond) }))), text: "after all", delay: 9 * time.Millisecond},
		"it is too slow":      {setup: in(shutdown(hostile(func() { time.Sleep(101 * time.Millisecond) }))), text: mute, delay: 100 * time.Millisecond},
		"it panics":           {setup: in(shutdown(hostile(func() { panic("as written") }))), text: "(its Error method did not return)"},
		"it exits":            {setup: in(shutdown(hostile(runtime.Goexit))), text: "(its Error method did not return)"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, hang func()) {
				var log bytes.Buffer
				told := &listeningTo{}
				opts := []controller.Option{noSignals, withServer("s", newServer(d, "s", s)), controller.WithCloser("c", func() {}),
					controller.WithObserver("o", told.observe), controller.WithLogger(zerolog.New(&log)),
					controller.WithFlusher("f", func() {})}
				if tt.opts != nil {
					opts = append(opts, tt.opts(d)...)
				}
				c := mustNew(t, budget, opts...)
				if tt.before != nil {
					tt.before(c, hang)
				}
				if tt.at != nil {
					time.AfterFunc(time.Minute, func() { tt.at(c, hang) })
				}
				r := c.Run(context.Background())
				synctest.Wait()
				wantCauseFirst(t, told, r, tt.text, tt.delay)
				wantAllTold(t, told, r)
				first := ""
				for line := range strings.Lines(log.String()) {
					if strings.Contains(line, `"phase":"start"`) && !strings.Contains(line, "elapsed") || strings.Contains(line, `"message":"phase serve"`) {
						continue // before the trigger
					}
					first = line
					break
				}
				level := `{"level":"info"`
				if tt.failed {
					level = `{"level":"error"`
				}
				if !strings.HasPrefix(first, level) || !strings.HasSuffix(first, `"message":"shutting down"}`+"\n") {
					t.Errorf("the first line after the trigger is\n%s\nof\n%s", first, &log)
				}
				if strings.Count(log.String(), "shutting down") != 1 {
					t.Errorf("the cause is not said once:\n%s", &log)
				}
			})
		})
	}
}

// wantCauseFirst checks the step of the trigger: its place, its content, its time.
func wantCauseFirst(t *testing.T, told *listeningTo, r report.Report, text string, delay time.Duration) {
	t.Helper()
	trigger := -1
	for i, s := range told.steps {
		switch {
		case s.Kind == report.KindTrigger && trigger >= 0:
			t.Error("the trigger is told twice")
		case s.Kind == report.KindTrigger:
			trigger = i
		case trigger < 0 && (s.Now.Remaining != 0 || s.Phase >= lastcall.PhaseAnnounce || !s.Start.Before(r.Triggered) && !r.Triggered.Equal(r.Begun)):
			t.Errorf("%v, at %v, is told before the cause", s, s.Start.Sub(r.Triggered))
		}
	}
	if trigger < 0 {
		t.Fatalf("the trigger is not told: %v", told.steps)
	}
	s := told.steps[trigger]
	if s.Text != text || s.Err != r.Cause || !s.Start.Equal(r.Triggered) || s.Elapsed != 0 { //nolint:errorlint // the same value
		t.Errorf("the trigger is %v, %v after it happened; want %q", s, s.Start.Sub(r.Triggered), text)
	}
	if got := told.at[trigger].Sub(r.Triggered); got != delay {
		t.Errorf("the cause is told %v after the trigger, want %v", got, delay)
	}
	if s.Report == nil || !s.Report.Triggered.Equal(r.Triggered) || s.Report.Timer.IsZero() || s.Report.CauseText != text || s.Report.Failed != r.Failed || s.Report.Outcome != 0 {
		t.Errorf("the trigger's report is %+v", s.Report)
	}
}

// wantAllTold checks that every phase and transition and every call was told once, and
// the first two in order.
func wantAllTold(t *testing.T, told *listeningTo, r report.Report) {
	t.Helper()
	var order, want []string
	calls := map[string]int{}
	for _, s := range told.steps {
		switch s.Kind {
		case report.KindPhase, report.KindTransition:
			order = append(order, s.String())
		case report.KindCall:
			calls[s.Subject()]++
		case report.KindBegin:
			calls["begin of "+s.Subject()]++
		}
	}
	for _, s := range r.Steps {
		switch s.Kind {
		case report.KindPhase, report.KindTransition:
			want = append(want, s.String())
		case report.KindCall:
			calls[s.Subject()]--
			if s.Op != report.OpText { // a question, whose begin is not told
				calls["begin of "+s.Subject()]--
			}
		}
	}
	if strings.Join(order, "\n") != strings.Join(want, "\n") {
		t.Errorf("told %q\nwant %q", order, want)
	}
	for name, n := range calls {
		if n != 0 {
			t.Errorf("%s was told %+d times too often", name, n)
		}
	}
}

// G9: a signal and the end of Run's context are causes like any other.
func TestG9_CauseOfSignalAndContext(t *testing.T) {
	for name, want := range map[string]string{"signal": "signal: terminated", "context": "the context of Run ended: asked for"} {
		bubble(t, func(t *testing.T, d *diary, _ func()) {
			told := &listeningTo{}
			signals := make(chan os.Signal, 1)
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			c := mustNew(t, budget, controller.WithSignalChannel(signals), withServer("s", newServer(d, "s", time.Second)), controller.WithObserver("o", told.observe))
			time.AfterFunc(time.Minute, func() {
				if name == "signal" {
					signals <- syscall.SIGTERM
				} else {
					cancel(errAsked)
				}
			})
			r := c.Run(ctx)
			synctest.Wait()
			wantCauseFirst(t, told, r, want, 0)
			wantAllTold(t, told, r)
		})
	}
}

// G1, G9: a deadline that is sooner than what the cause's text may take is kept, and the
// cause is told all the same, before the summary.
func TestG1_CauseAndNoTime(t *testing.T) {
	for _, total := range []time.Duration{2 * time.Microsecond, time.Millisecond, 5 * time.Millisecond, 9 * time.Millisecond, 10 * time.Millisecond, 11 * time.Millisecond, time.Second} {
		bubble(t, func(t *testing.T, d *diary, hang func()) {
			told := &listeningTo{}
			c := mustNew(t, lastcall.Budget{Total: total, Reserve: total / 2}, noSignals, controller.WithObserver("o", told.observe),
				controller.WithCloser("c", hang), controller.WithFlusher("f", func() {}))
			time.AfterFunc(time.Minute, func() { c.Shutdown(&pointed{textError(func() string { hang(); return "" })}) })
			r := c.Run(context.Background())
			if took := r.Took(); took > total {
				t.Errorf("Total %v: Run took %v", total, took)
			}
			synctest.Wait()
			wantCauseFirst(t, told, r, "(its Error method has not returned)", min(total/2, 100*time.Millisecond))
			if s := step(t, r, report.OpText, "cause"); s.Result != report.ResultTimedOut || !s.Abandoned {
				t.Errorf("%v", s)
			}
		})
	}
}

// The same with a force that leaves no time.
func TestG1_CauseAndForce(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		told := &listeningTo{}
		c := mustNew(t, lastcall.Budget{Total: time.Minute, Reserve: 2 * time.Millisecond}, noSignals, controller.WithObserver("o", told.observe))
		time.AfterFunc(time.Minute, func() {
			c.Shutdown(&pointed{textError(func() string { hang(); return "" })})
			c.Force()
		})
		r := c.Run(context.Background())
		synctest.Wait()
		wantTook(t, r.Took(), 2*time.Millisecond)
		wantCauseFirst(t, told, r, "(its Error method has not returned)", time.Millisecond)
	})
}

// G9: a text that comes after the summary is not in the report either.
func TestG9_CauseAfterTheSummary(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		told := &listeningTo{}
		c := mustNew(t, budget, noSignals, controller.WithObserver("o", told.observe), controller.WithFlusher("f", func() { time.Sleep(2 * time.Second) }))
		time.AfterFunc(time.Minute, func() {
			c.Shutdown(&pointed{textError(func() string { time.Sleep(time.Second); return "after all" })})
		})
		r := c.Run(context.Background())
		synctest.Wait()
		wantCauseFirst(t, told, r, "(its Error method has not returned)", 100*time.Millisecond)
		at := slices.IndexFunc(told.steps, func(s report.Step) bool { return s.Kind == report.KindSummary })
		if at < 0 || told.steps[at].Report.CauseText != r.CauseText {
			t.Errorf("the report has the cause %q, the summary is %v", r.CauseText, told.steps[at])
		}
	})
}

// The text of a cause that came late is in the report.
func TestLateCause(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals, withServer("s", newServer(d, "s", time.Second)))
		time.AfterFunc(time.Minute, func() {
			c.Shutdown(textError(func() string { time.Sleep(time.Second); return "after all" }))
		})
		r := c.Run(context.Background())
		if r.CauseText != "after all" {
			t.Errorf("the cause is %q", r.CauseText)
		}
		wantExit(t, r, report.ExitOK)
		if errors.Is(r.Err(), errAsked) {
			t.Error(r.Err())
		}
	})
}
