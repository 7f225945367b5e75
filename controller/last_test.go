package controller_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/controller"
)

// serves reports whether a server answers.
func (s *server) serves() bool {
	select {
	case <-s.down:
		return false
	default:
		return true
	}
}

// sort puts lines of the same instant in order.
func (d *diary) sort(from, to int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if to <= len(d.lines) {
		slices.Sort(d.lines[from:to])
	}
}

// G2: a server that stops last answers until the flushers are over, and only then it is
// told to stop.
func TestG2_LastOutlivesTheFlushers(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		admin := newServer(d, "admin", 40*time.Millisecond)
		up := func(what string, took time.Duration) func() {
			return func() {
				d.note(what)
				time.Sleep(took)
				if !admin.serves() {
					t.Errorf("%s: the server that stops last does not answer any more", what)
				}
			}
		}
		c := mustNew(t, budget, noSignals, withLast("admin", admin),
			withServer("s", newServer(d, "s", time.Second)),
			controller.WithWorker("w", func(claim, _ context.Context) error { <-claim.Done(); up("worker", time.Second)(); return nil }),
			controller.WithAnnouncer("a", up("announce", 100*time.Millisecond)),
			controller.WithCloser("c", up("close", 200*time.Millisecond)),
			controller.WithFlusher("quick", up("flush", 0)),
			controller.WithFlusher("slow", up("flush", 300*time.Millisecond)),
			controller.WithObserver("o", func(s report.Step) {
				if s.Kind != report.KindCall && !admin.serves() {
					t.Errorf("%v: the server that stops last does not answer any more", s)
				}
			}))
		r, took := runAfter(c, time.Minute)
		d.sort(0, 2) // they begin in the same instant
		d.want(t, "announce 1m0s", "worker 1m0s", "s graceful 1m2.1s", "close 1m3.1s", "flush 1m3.3s", "flush 1m3.3s", "admin graceful 1m3.6s")
		wantTook(t, took, 3640*time.Millisecond)
		wantExit(t, r, report.ExitOK)
		wantPath(t, r, false)
		for _, op := range []report.Op{report.OpServe, report.OpGracefulStop} {
			if s := step(t, r, op, "admin"); s.Failed() {
				t.Errorf("%v", s)
			}
		}
	})
}

// G1, G5, G8: when the flushers are over, every server that stops last has 100 ms, or half
// of the time that is left, to stop gracefully. Stop is called on exactly those whose
// GracefulStop has not returned by then, and the deadline holds whatever they do.
func TestG5_StopOfAServerThatIsLast(t *testing.T) {
	const ms = time.Millisecond
	long := lastcall.Budget{Total: 10 * time.Second, Reserve: 4 * time.Second}
	short := lastcall.Budget{Total: 100 * ms, Reserve: 50 * ms}
	wait := func(d time.Duration) func(func()) func() {
		return func(func()) func() { return func() { time.Sleep(d) } }
	}
	hangs := func(hang func()) func() { return hang }
	panics := func(func()) func() { return func() { panic("as written") } }
	goexits := func(func()) func() { return func() { runtime.Goexit() } }
	tests := map[string]struct {
		budget            lastcall.Budget
		graceful, stop    func(hang func()) func() // nil: the server's own
		serve             func(hang func()) func()
		drain             time.Duration
		elsewhere         bool // another goroutine serves
		stopped           time.Duration
		took              time.Duration
		exit              int
		failed, abandoned []string
	}{
		"it returns at once":              {budget: long, stopped: -1},
		"it returns in time":              {budget: long, drain: 99 * ms, stopped: -1, took: 99 * ms},
		"it has a long request":           {budget: long, drain: 101 * ms, stopped: 100 * ms, took: 100 * ms},
		"served elsewhere":                {budget: long, elsewhere: true, drain: time.Minute, stopped: 100 * ms, took: 100 * ms},
		"it returns in half of the rest":  {budget: short, drain: 49 * ms, stopped: -1, took: 49 * ms},
		"half of the rest is not enough":  {budget: short, drain: 51 * ms, stopped: 50 * ms, took: 50 * ms},
		"Serve comes back later":          {budget: long, serve: wait(time.Minute + 150*ms), stopped: -1, took: 150 * ms},
		"GracefulStop panics":             {budget: long, graceful: panics, stopped: 100 * ms, took: 100 * ms, exit: report.ExitStep, failed: []string{`GracefulStop "admin" panicked: as written`}},
		"GracefulStop exits":              {budget: long, graceful: goexits, stopped: 100 * ms, took: 100 * ms, exit: report.ExitStep, failed: []string{`GracefulStop "admin" called runtime.Goexit`}},
		"panics, served elsewhere":        {budget: long, elsewhere: true, graceful: panics, exit: report.ExitStep, failed: []string{`GracefulStop "admin" panicked: as written`}},
		"Stop panics":                     {budget: long, drain: 200 * ms, stop: panics, stopped: 100 * ms, took: 200 * ms, exit: report.ExitStep, failed: []string{`Stop "admin" panicked: as written`}},
		"Stop is slow":                    {budget: long, drain: 101 * ms, stop: wait(300 * ms), stopped: 100 * ms, took: 400 * ms},
		"GracefulStop hangs":              {budget: long, graceful: hangs, stopped: 100 * ms, took: 1100 * ms, exit: report.ExitStep, abandoned: []string{"GracefulStop admin"}, failed: []string{`GracefulStop "admin" timed out`}},
		"GracefulStop hangs, little time": {budget: short, graceful: hangs, stopped: 50 * ms, took: 100 * ms, exit: report.ExitStep, abandoned: []string{"GracefulStop admin"}, failed: []string{`GracefulStop "admin" timed out`}},
		"Serve hangs":                     {budget: long, serve: hangs, stopped: -1, took: 1100 * ms, exit: report.ExitStep, abandoned: []string{"Serve admin"}, failed: []string{`Serve "admin" timed out`}},
		"everything hangs": {budget: long, serve: hangs, graceful: hangs, stop: hangs, stopped: 100 * ms, took: 1100 * ms, exit: report.ExitStep,
			abandoned: []string{"GracefulStop admin", "Serve admin", "Stop admin"},
			failed:    []string{`Serve "admin" timed out`, `GracefulStop "admin" timed out`, `Stop "admin" timed out`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, hang func()) {
				admin := newServer(d, "admin", tt.drain)
				if tt.graceful != nil {
					admin.graceful = tt.graceful(hang)
				}
				if tt.stop != nil {
					admin.stop = tt.stop(hang)
				}
				if tt.serve != nil {
					serve := tt.serve(hang)
					admin.serve = func() error { serve(); return nil }
				}
				if tt.elsewhere {
					admin.serve = func() error { return lastcall.ErrServedElsewhere }
				}
				other := newServer(d, "other", 0) // what one does is nothing to the other
				c := mustNew(t, tt.budget, noSignals, withLast("admin", admin), withLast("other", other))
				r, took := runAfter(c, time.Minute)
				synctest.Wait() // a goroutine that has told its result ends a moment later
				n := alive()
				wantTook(t, took, tt.took)
				wantExit(t, r, tt.exit)
				want := []string{"admin graceful 1m0s", "other graceful 1m0s"}
				if tt.stopped >= 0 {
					want = append(want, "admin stop "+(time.Minute+tt.stopped).String())
				}
				d.sort(0, 2)
				d.want(t, want...)
				var abandoned, failed []string
				for _, s := range r.Abandoned() {
					abandoned = append(abandoned, string(s.Op)+" "+s.Name)
				}
				for _, s := range r.Failures() {
					failed = append(failed, s.String())
				}
				slices.Sort(abandoned)
				if !slices.Equal(abandoned, tt.abandoned) || n != len(abandoned) {
					t.Errorf("G10: abandoned %q, and %d goroutines are alive, want %q", abandoned, n, tt.abandoned)
				}
				if !slices.Equal(failed, tt.failed) {
					t.Errorf("G8: failed %q, want %q", failed, tt.failed)
				}
				if r.Outcome != report.OutcomeDrained {
					t.Errorf("outcome %v, want drained", r.Outcome)
				}
			})
		})
	}
}

// G3, G4, G5: a server that stops last has no part in the drain, nor in what comes after
// the timer.
func TestG3_LastHasNoPartInDrainAndForce(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		admin := &extended{server: newServer(d, "admin", time.Hour)}
		stuck := newServer(d, "stuck", 0)
		stuck.graceful = hang
		c := mustNew(t, budget, noSignals, withLast("admin", &inquisitive{admin}), withServer("stuck", stuck))
		r, took := runAfter(c, time.Minute)
		// 6 s to the timer; Stop, a fifth of what is left and then a third of that: stuck's Serve
		// returns with Stop, its GracefulStop never.
		left := 4 * time.Second
		left -= left / 3
		flush := time.Minute + 10*time.Second - left
		end := (flush + 100*time.Millisecond).String()
		d.sort(4, 6)
		d.want(t, "stuck graceful 1m2s", "stuck stop 1m6s", "admin graceful "+flush.String(), "admin stop "+end, "InFlight "+end, "Notes "+end)
		wantTook(t, took, flush+100*time.Millisecond-time.Minute)
		wantExit(t, r, report.ExitAbandoned)
		wantPath(t, r, true)
		if len(r.Work) != 1 || r.Work[0].Server != "admin" || len(r.Notes) != 1 {
			t.Errorf("the report has the work %v and the notes %v, want those that the server told at its end", r.Work, r.Notes)
		}
	})
}

// inquisitive notes the questions that a server is asked.
type inquisitive struct{ *extended }

func (i *inquisitive) InFlight() []lastcall.Work {
	i.d.note("InFlight")
	return []lastcall.Work{{Name: "net.Conn.Close", Kind: lastcall.WorkCall, Running: 1}}
}
func (i *inquisitive) Notes() []string { i.d.note("Notes"); return []string{"a note"} }

// G4: only servers that stop last: there is no settle and no drain. They are told as
// others are what goes on.
func TestG4_OnlyLast(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		s := newServer(d, "admin", 30*time.Millisecond)
		s.serve = func() error { d.note("serve"); <-s.down; return errors.New("server closed") }
		admin := &extended{server: s, attach: func() { time.Sleep(time.Second); d.note("attach") }, announce: func() { time.Sleep(200 * time.Millisecond); d.note("announce") }}
		c := mustNew(t, budget, noSignals, withLast("admin", admin))
		time.AfterFunc(500*time.Millisecond, func() {
			if c.Ready() {
				t.Error("ready before the server that stops last serves")
			}
		})
		r, took := runAfter(c, time.Minute)
		d.want(t, "attach 1s", "serve 1s", "announce 1m0.2s", "admin graceful 1m0.2s")
		wantTook(t, took, 230*time.Millisecond)
		wantExit(t, r, report.ExitOK) // an error of Serve after GracefulStop is the end that was asked for
		wantPath(t, r, false)
		if r.Settle != report.SettleNobody || hasPhase(r, lastcall.PhaseSettle) {
			t.Errorf("settle ended with %q\n%v", r.Settle, r)
		}
	})
}

// G4: the flush does not wait for the Serve of a server that stops last, which goes on,
// even if it has begun just now.
func TestG4_FlushDoesNotWaitForLast(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		c := mustNew(t, budget, noSignals, withLast("admin", newServer(d, "admin", 0)),
			controller.WithLogger(zerolog.New(writer(func(p []byte) (int, error) { return len(p), nil }))),
			controller.WithFlusher("f", func() { d.note("flush") }))
		r, took := runAfter(c, time.Millisecond)
		d.want(t, "flush 1ms", "admin graceful 1ms")
		wantTook(t, took, 0)
		wantExit(t, r, report.ExitOK)
	})
}

// A server that stops last is one whose end is a trigger like that of any other.
func TestG6_LastThatEndsByItself(t *testing.T) {
	failure := errors.New("port in use")
	for name, tt := range map[string]struct {
		serve    error
		after    time.Duration // of Serve's end
		shutdown time.Duration
		trigger  time.Duration
		took     time.Duration
		exit     int
		ended    bool // that is the cause
	}{
		"fails before the trigger":   {failure, 30 * time.Second, time.Minute, 30 * time.Second, 3 * time.Second, report.ExitFailed, true},
		"returns before the trigger": {nil, 30 * time.Second, time.Minute, 30 * time.Second, 3 * time.Second, report.ExitOK, true},
		"fails in settle":            {failure, time.Minute + time.Second, time.Minute, time.Minute, 3 * time.Second, report.ExitFailed, false},
		"fails in drain":             {failure, time.Minute + 2500*time.Millisecond, time.Minute, time.Minute, 3 * time.Second, report.ExitFailed, false},
		"returns in drain":           {nil, time.Minute + 2500*time.Millisecond, time.Minute, time.Minute, 3 * time.Second, report.ExitOK, false},
		"fails when it was told to":  {failure, time.Minute + 3050*time.Millisecond, time.Minute, time.Minute, 3050 * time.Millisecond, report.ExitOK, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				admin := newServer(d, "admin", 0)
				admin.serve = func() error { time.Sleep(tt.after); return tt.serve }
				c := mustNew(t, budget, noSignals, withLast("admin", admin), withServer("s", newServer(d, "s", time.Second)))
				time.AfterFunc(tt.shutdown, func() { c.Shutdown(errAsked) })
				r := c.Run(context.Background())
				wantTook(t, r.Took(), tt.took)
				wantExit(t, r, tt.exit)
				at := func(after time.Duration) string { return (tt.trigger + after).String() }
				d.want(t, "s graceful "+at(2*time.Second), "admin graceful "+at(3*time.Second))
				var ended *report.EndedError
				switch {
				case errors.As(r.Cause, &ended) != tt.ended, !tt.ended && !errors.Is(r.Cause, errAsked):
					t.Errorf("the cause is %v", r.Cause)
				case tt.ended && (ended.Op != report.OpServe || ended.Name != "admin"):
					t.Errorf("the cause is %+v", ended)
				}
				if s := step(t, r, report.OpServe, "admin"); s.Failed() != (tt.exit == report.ExitFailed) || !errors.Is(s.Err, tt.serve) {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// G6, G8: an Attach that panics is a trigger; one that hangs leaves the server unready,
// and neither keeps GracefulStop from being called.
func TestG6_AttachOfLast(t *testing.T) {
	for name, tt := range map[string]struct {
		attach  func(hang func()) func()
		trigger time.Duration
		exit    int
		result  report.Result
	}{
		"panics": {func(func()) func() { return func() { panic("as written") } }, 0, report.ExitFailed, report.ResultPanicked},
		"hangs":  {func(hang func()) func() { return hang }, time.Minute, report.ExitStep, report.ResultTimedOut},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, hang func()) {
				s := newServer(d, "admin", 0)
				s.serve = func() error { d.note("serve"); return nil }
				c := mustNew(t, budget, noSignals, withLast("admin", &extended{server: s, attach: tt.attach(hang)}))
				time.AfterFunc(time.Minute, func() { c.Shutdown(errAsked) })
				r := c.Run(context.Background())
				d.want(t, "admin graceful "+tt.trigger.String())
				wantTook(t, r.Took(), 0)
				wantExit(t, r, tt.exit)
				if got := step(t, r, report.OpAttach, "admin").Result; got != tt.result || hasPhase(r, lastcall.PhaseServe) {
					t.Errorf("Attach %v, want %v\n%v", got, tt.result, r)
				}
			})
		})
	}
}

// G6: with a trigger before Run nothing is started, and GracefulStop is called all the
// same.
func TestG6_TriggerBeforeRunWithLast(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		s := newServer(d, "admin", 10*time.Millisecond)
		s.serve = func() error { d.note("serve"); return nil }
		admin := &extended{server: s, attach: func() { d.note("attach") }, announce: func() { d.note("announce") }}
		c := mustNew(t, budget, noSignals, withLast("admin", admin), controller.WithCloser("c", func() { d.note("close") }),
			controller.WithFlusher("f", func() { d.note("flush") }))
		c.Shutdown(errAsked)
		time.Sleep(time.Second)
		r := c.Run(context.Background())
		d.want(t, "announce 1s", "close 1s", "flush 1s", "admin graceful 1s")
		wantTook(t, r.Took(), 10*time.Millisecond)
		wantExit(t, r, report.ExitOK)
	})
}

// G1: a force in phase flush shortens what servers that stop last may take.
func TestG1_ForceWhileLastStops(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		force, stop, took time.Duration
	}{
		"none":                  {0, 100 * ms, 1100 * ms},
		"while it stops":        {20 * ms, 70 * ms, 120 * ms}, // half of the 100 ms from then on
		"as it is nearly over":  {80 * ms, 100 * ms, 180 * ms},
		"after Stop was called": {950 * ms, 100 * ms, 1050 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, hang func()) {
				admin := newServer(d, "admin", 0)
				admin.graceful, admin.stop = hang, hang
				c := mustNew(t, lastcall.Budget{Total: 10 * time.Second, Reserve: 100 * ms}, noSignals, withLast("admin", admin))
				if tt.force > 0 {
					time.AfterFunc(time.Minute+tt.force, c.Force)
				}
				r, took := runAfter(c, time.Minute)
				d.want(t, "admin graceful 1m0s", "admin stop "+(time.Minute+tt.stop).String())
				wantTook(t, took, tt.took)
				wantPath(t, r, false)
			})
		})
	}
}

// G1, G8: flushers that hang leave half of the time to the servers that stop last; a
// log that hangs leaves two thirds to both.
func TestG8_FlushersLeaveTimeForLast(t *testing.T) {
	const ms = time.Millisecond
	tight := lastcall.Budget{Total: 1200 * ms, Reserve: 600 * ms}
	for name, tt := range map[string]struct {
		logs, flushes, last bool
		flush               time.Duration // since the trigger
		until               time.Duration // the flushers' contexts
		graceful            time.Duration
	}{
		"all three":            {true, true, true, 400 * ms, 800 * ms, 800 * ms},
		"flusher and Last":     {false, true, true, 0, 600 * ms, 600 * ms},
		"log and Last":         {true, false, true, 0, 0, 600 * ms},
		"log and flusher":      {true, true, false, 600 * ms, 1200 * ms, 0},
		"flusher":              {false, true, false, 0, 1200 * ms, 0},
		"Last, and that alone": {false, false, true, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, hang func()) {
				opts := []controller.Option{noSignals}
				var want []string
				at := func(after time.Duration) string { return (time.Minute + after).String() }
				if tt.logs {
					opts = append(opts, controller.WithLogger(zerolog.New(hangsOn("shutting down", hang))))
				}
				if tt.flushes {
					opts = append(opts, controller.WithFlusher("f", func(ctx context.Context) {
						d.note("flush")
						if due, ok := ctx.Deadline(); !ok || due.Sub(d.start) != time.Minute+tt.until {
							t.Errorf("the flusher's context ends at %v, want %v", due.Sub(d.start), at(tt.until))
						}
						<-ctx.Done()
						if !errors.Is(context.Cause(ctx), lastcall.ErrStepTime) || time.Since(d.start) != time.Minute+tt.until {
							t.Errorf("the flusher's context ended at %v with %v", time.Since(d.start), context.Cause(ctx))
						}
						hang()
					}))
					want = append(want, "flush "+at(tt.flush))
				}
				took := tight.Total
				if tt.last {
					took = min(took, tt.graceful+1100*ms)
					admin := newServer(d, "admin", 0)
					admin.graceful, admin.stop = hang, hang
					opts = append(opts, withLast("admin", admin))
					want = append(want, "admin graceful "+at(tt.graceful), "admin stop "+at(tt.graceful+100*ms))
				}
				_, got := runAfter(mustNew(t, tight, opts...), time.Minute)
				wantTook(t, got, took)
				d.want(t, want...)
			})
		})
	}
}

// G11: the last line is said while the servers that stop last still answer, so it does
// not tell of them; the report does.
func TestG11_LastLineBeforeLast(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		admin := newServer(d, "admin", 0)
		admin.graceful = func() { panic("as written") }
		lines := 0
		c := mustNew(t, budget, noSignals, withLast("admin", admin),
			controller.WithLogger(zerolog.New(writer(func(p []byte) (int, error) {
				lines++
				if !admin.serves() {
					t.Errorf("said when the server that stops last was down: %s", p)
				}
				return len(p), nil
			}))))
		r, _ := runAfter(c, time.Minute)
		if lines == 0 || len(r.Failures()) != 1 {
			t.Errorf("%d lines\n%v", lines, r)
		}
		wantExit(t, r, report.ExitStep)
	})
}

// A server that stops last need not be able to tell when work came, and is not asked.
func TestG4_QuietDoesNotAskLast(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		busy := &arriving{server: newServer(d, "busy", 0), last: time.Now}
		idle := &arriving{server: newServer(d, "idle", 0)}
		c := mustNew(t, quietBudget, noSignals, withLast("plain", newServer(d, "plain", 0)), withLast("busy", busy), withServer("idle", idle))
		r, took := runAfter(c, time.Minute)
		wantTook(t, took, 500*time.Millisecond)
		if r.Settle != report.SettleQuiet || busy.asked.Load() != 1 { // by WithServer
			t.Errorf("settle ended with %q, the server that stops last was asked %d times", r.Settle, busy.asked.Load())
		}
	})
}

// G11: the last log line says what the report says, although a server that stops last
// still serves.
func TestG11_LastLineWhileLastServes(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		s := newServer(d, "admin", 0)
		s.serve = func() error { <-s.down; return nil }
		var log bytes.Buffer
		c := mustNew(t, budget, noSignals, withLast("admin", &extended{server: s}), controller.WithLogger(zerolog.New(&log)))
		r, _ := runAfter(c, time.Minute)
		wantExit(t, r, report.ExitOK)
		if !strings.Contains(log.String(), `"level":"info","outcome":"drained"`) || !strings.Contains(log.String(), `"failed_steps":0,"exit_code":0,"message":"shutdown complete`) {
			t.Errorf("the log is\n%s", &log)
		}
	})
}
