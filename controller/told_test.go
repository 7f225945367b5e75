package controller_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// tracer makes spans of Steps, as a tracing observer does: one for the shutdown, from
// the trigger to the summary, and inside one for each phase and for each call.
type tracer struct {
	mu       sync.Mutex
	open     []string // begun and not ended
	ended    []string
	exported []string // what had ended when the flusher ran
	left     []string // what was open then
}

func (tr *tracer) begin(name string) { tr.open = append(tr.open, name) }

func (tr *tracer) end(name string) {
	if i := slices.Index(tr.open, name); i >= 0 {
		tr.open = slices.Delete(tr.open, i, i+1)
		tr.ended = append(tr.ended, name)
	}
}

func (tr *tracer) endPhase() {
	for _, name := range slices.Clone(tr.open) {
		if len(name) > 6 && name[:6] == "phase " {
			tr.end(name)
		}
	}
}

func (tr *tracer) observe(s report.Step) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	switch s.Kind {
	case report.KindTrigger:
		tr.begin("shutdown")
	case report.KindPhase:
		tr.endPhase()
		tr.begin(s.String())
	case report.KindTransition:
		tr.endPhase()
	case report.KindBegin:
		tr.begin(s.Subject())
	case report.KindCall:
		tr.end(s.Subject())
	case report.KindSummary:
		tr.endPhase()
		tr.end("shutdown")
	}
}

// flush exports what has ended.
func (tr *tracer) flush() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.exported, tr.left = slices.Clone(tr.ended), slices.Clone(tr.open)
	if i := slices.Index(tr.left, `flusher "traces"`); i >= 0 { // this call
		tr.left = slices.Delete(tr.left, i, i+1)
	}
}

// missing returns what is missing among the exported spans.
func (tr *tracer) missing() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var missing []string
	for _, name := range []string{
		"phase start", "phase serve", "shutdown", "phase announce", "phase settle", "phase drain", "phase close", "phase flush",
		`Serve "s"`, `worker "w"`, `GracefulStop "s"`, `announcer "a"`, `closer "c"`, `closer "d"`,
	} {
		if !slices.Contains(tr.exported, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

func (tr *tracer) run(t *testing.T, b lastcall.Budget, s *server, after time.Duration) report.Report {
	t.Helper()
	c := mustNew(t, b, noSignals, withServer("s", s),
		controller.WithWorker("w", func(claim, _ context.Context) error { <-claim.Done(); return nil }),
		controller.WithAnnouncer("a", func() {}),
		controller.WithCloser("c", func() {}), controller.WithCloser("d", func() {}),
		controller.WithObserver("tracer", tr.observe), controller.WithObserver("idle", func(report.Step) {}),
		controller.WithFlusher("traces", tr.flush))
	go func() {
		<-c.Serving()
		time.Sleep(after)
		c.Shutdown(errAsked)
	}()
	return c.Run(context.Background())
}

// G13: spans that an observer makes and a flusher exports: of 300 shutdowns nothing is
// missing, in virtual time and in real time.
func TestG13_SpansAreExported(t *testing.T) {
	const runs = 300
	check := func(t *testing.T, tr *tracer, r report.Report) {
		t.Helper()
		if missing := tr.missing(); len(missing) > 0 || len(tr.left) > 0 {
			t.Errorf("not exported: %q; open when the flusher ran: %q\n%v", missing, tr.left, r)
		}
		wantExit(t, r, report.ExitOK)
	}
	t.Run("virtual time", func(t *testing.T) {
		for range runs {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				tr := &tracer{}
				check(t, tr, tr.run(t, budget, newServer(d, "s", time.Second), time.Minute))
			})
		}
	})
	t.Run("real time", func(t *testing.T) {
		short := lastcall.Budget{Total: time.Minute, Settle: 50 * time.Microsecond, Reserve: 20 * time.Second}
		for range runs {
			tr := &tracer{}
			check(t, tr, tr.run(t, short, newServer(newDiary(), "s", 0), 0))
		}
	})
}

// G13: an observer that takes its time, but comes on, is told everything before the
// first flusher starts, as long as no step takes it longer than a second.
func TestG13_SlowObserverIsAwaited(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		told := &listeningTo{}
		b := lastcall.Budget{Total: time.Minute, Reserve: 50 * time.Second}
		c := mustNew(t, b, noSignals, controller.WithObserver("slow", func(s report.Step) {
			if s.Kind != report.KindPhase || s.Phase >= lastcall.PhaseAnnounce {
				time.Sleep(999 * time.Millisecond)
			}
			told.observe(s)
		}), controller.WithFlusher("f", func() {
			d.note("flush")
			told.mu.Lock()
			defer told.mu.Unlock()
			if !slices.ContainsFunc(told.steps, func(s report.Step) bool { return s.Kind == report.KindSummary }) {
				t.Errorf("told only %v", told.steps)
			}
		}))
		r, took := runAfter(c, time.Minute)
		// Trigger, announce, the two transitions, drain, close, flush, summary.
		wantTook(t, took, 8*999*time.Millisecond)
		d.want(t, "flush 1m7.992s")
		wantExit(t, r, report.ExitOK)
	})
}

// G13: an observer that hangs delays the flush by what is left of its second, once, and
// several of them delay it by no more than one does.
func TestG13_ObserverThatHangs(t *testing.T) {
	const s = time.Second
	on := func(kind report.Kind, name string) func(report.Step) bool {
		return func(s report.Step) bool { return s.Kind == kind && s.Name == name }
	}
	for name, tt := range map[string]struct {
		hangs []func(report.Step) bool // one for each observer
		total time.Duration
		last  bool // a server stops last, and there is no flusher
		want  time.Duration
	}{
		"none":                     {nil, time.Minute, false, 0},
		"before the trigger":       {[]func(report.Step) bool{on(report.KindPhase, "serve")}, time.Minute, false, 0},
		"on the trigger":           {[]func(report.Step) bool{on(report.KindTrigger, "trigger")}, time.Minute, false, 0}, // 3 s before
		"on GracefulStop":          {[]func(report.Step) bool{on(report.KindCall, "s")}, time.Minute, false, s},
		"on phase close":           {[]func(report.Step) bool{on(report.KindPhase, "close")}, time.Minute, false, s},
		"on the closer's end":      {[]func(report.Step) bool{on(report.KindCall, "c")}, time.Minute, false, s},
		"on the summary":           {[]func(report.Step) bool{on(report.KindSummary, "summary")}, time.Minute, false, s},
		"two at the same time":     {[]func(report.Step) bool{on(report.KindPhase, "close"), on(report.KindSummary, "summary")}, time.Minute, false, s},
		"each one on all":          {[]func(report.Step) bool{func(report.Step) bool { return true }, func(report.Step) bool { return true }}, time.Minute, false, 0},
		"a third of what is there": {[]func(report.Step) bool{on(report.KindSummary, "summary")}, 4 * s, false, 500 * time.Millisecond},
		"before what stops last":   {[]func(report.Step) bool{on(report.KindPhase, "close")}, time.Minute, true, s},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, hang func()) {
				b := lastcall.Budget{Total: tt.total, Reserve: tt.total / 8}
				opts := []controller.Option{noSignals, withServer("s", newServer(d, "s", 3*s)), controller.WithCloser("c", func() { d.note("close") })}
				if tt.last {
					opts = append(opts, withLast("flush", newServer(d, "flush", 0)))
				} else {
					opts = append(opts, controller.WithFlusher("f", func() { d.note("flush graceful") }))
				}
				for i, hangs := range tt.hangs {
					opts = append(opts, controller.WithObserver(fmt.Sprint(i), func(s report.Step) {
						if hangs(s) {
							hang()
						}
					}))
				}
				r, took := runAfter(mustNew(t, b, opts...), time.Minute)
				d.want(t, "s graceful 1m0s", "close 1m3s", "flush graceful "+(time.Minute+3*s+tt.want).String())
				wantTook(t, took, 3*s+tt.want)
				wantExit(t, r, report.ExitOK)
				for _, l := range r.Deliveries {
					if !l.Busy {
						t.Errorf("%+v is not said to hang", l)
					}
				}
				synctest.Wait()
			})
		})
	}
}
