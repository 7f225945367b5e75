package controller_test

import (
	"context"
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

// withNoted registers a closer that notes its begin and takes a while.
func withNoted(d *diary, name string, took time.Duration) controller.Option {
	return controller.WithCloser(name, func() { d.note(name); time.Sleep(took) })
}

// wantSets compares a diary in which the lines of a set may come in any order.
func wantSets(t *testing.T, d *diary, sets ...[]string) {
	t.Helper()
	var want []string
	for _, set := range sets {
		d.sort(len(want), len(want)+len(set))
		slices.Sort(set)
		want = append(want, set...)
	}
	d.want(t, want...)
}

// G2, G4: closers that are Together begin in the same instant, when what was registered
// after them is closed, and what was registered before them waits for all of them.
func TestG2_Together(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		const s = time.Second
		c := mustNew(t, lastcall.Budget{Total: time.Minute, Reserve: 50 * s}, noSignals,
			withNoted(d, "first", s),
			controller.Together(withNoted(d, "a", s), withNoted(d, "b", 3*s), withNoted(d, "c", 2*s)),
			controller.Together(withNoted(d, "alone", s)),
			controller.Together(withNoted(d, "x", s), controller.Together(withNoted(d, "y", 2*s), withNoted(d, "z", s))),
		)
		if err := c.Add(controller.Together(withNoted(d, "later 1", s), withNoted(d, "later 2", s)), withNoted(d, "last", s)); err != nil {
			t.Fatal(err)
		}
		r, took := runAfter(c, time.Minute)
		wantSets(t, d, []string{"last 1m0s"}, []string{"later 1 1m1s", "later 2 1m1s"}, []string{"x 1m2s", "y 1m2s", "z 1m2s"},
			[]string{"alone 1m4s"}, []string{"a 1m5s", "b 1m5s", "c 1m5s"}, []string{"first 1m8s"})
		wantTook(t, took, 9*s)
		wantExit(t, r, report.ExitOK)
	})
}

// G1, G8: those that are Together share the time of one step. One that fails, panics,
// exits or hangs is named, and is nothing to the others.
func TestG8_TogetherShareOneStep(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		due := func(ctx context.Context, name string) {
			at, ok := ctx.Deadline()
			if !ok {
				t.Errorf("the context of %s has no end", name)
			}
			d.note(name + " until " + at.Sub(d.start).String() + " from")
		}
		hangs := func(name string) controller.Option {
			return controller.WithCloser(name, func(ctx context.Context) { due(ctx, name); hang() })
		}
		c := mustNew(t, lastcall.Budget{Total: 14 * time.Second, Reserve: time.Second}, noSignals,
			hangs("first"),
			controller.Together(hangs("h"),
				controller.WithCloser("own", func(ctx context.Context) { due(ctx, "own"); hang() }, controller.Timeout(500*time.Millisecond)),
				controller.WithCloser("fails", func() error { return errAsked }),
				controller.WithCloser("panics", func() { panic("as written") }),
				controller.WithCloser("exits", func() { runtime.Goexit() }),
				controller.WithCloser("fine", func(ctx context.Context) error { due(ctx, "fine"); return nil })),
			hangs("last"),
			controller.WithFlusher("f", func() { d.note("flush") }))
		r, took := runAfter(c, time.Minute)
		// 14 s without the flush's, for three steps: each has a sixth of its own.
		all := 14*time.Second - controller.FlushTime
		at := func(d time.Duration) string { return (time.Minute + d).String() }
		last, together := at(all-2*(all/6)), at(all-all/6)
		wantSets(t, d, []string{"last until " + last + " from 1m0s"},
			[]string{"h until " + together + " from " + last, "own until " + at(all-2*(all/6)+500*time.Millisecond) + " from " + last, "fine until " + together + " from " + last},
			[]string{"first until " + at(all) + " from " + together}, []string{"flush " + at(all)})
		wantTook(t, took, all)
		wantExit(t, r, report.ExitStep)
		for name, want := range map[string]report.Result{
			"first": report.ResultTimedOut, "h": report.ResultTimedOut, "own": report.ResultTimedOut, "last": report.ResultTimedOut,
			"fails": report.ResultFailed, "panics": report.ResultPanicked, "exits": report.ResultGoexit, "fine": report.ResultOK,
		} {
			if s := step(t, r, report.OpClose, name); s.Result != want || s.Phase != lastcall.PhaseClose {
				t.Errorf("%v, begun in phase %v; want %v", s, s.Phase, want)
			}
		}
		if got := step(t, r, report.OpClose, "own").Duration; got != 500*time.Millisecond {
			t.Errorf("the closer with a Timeout of its own had %v", got)
		}
	})
}

// G4: one that hangs, with a Timeout of its own, holds up neither the others nor what
// comes behind them for longer than that.
func TestG4_TogetherEndsWithTheLastOfThem(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		c := mustNew(t, budget, noSignals, withNoted(d, "first", 0),
			controller.Together(controller.WithCloser("hangs", func() { hang() }, controller.Timeout(300*time.Millisecond)), withNoted(d, "quick", 100*time.Millisecond)))
		_, took := runAfter(c, time.Minute)
		d.want(t, "quick 1m0s", "first 1m0.3s")
		wantTook(t, took, 300*time.Millisecond)
	})
}

// G1: a force shortens the time of those that are Together, all at once.
func TestG1_ForceWhileTogether(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		wait := func(name string) controller.Option {
			return controller.WithCloser(name, func(ctx context.Context) error {
				<-ctx.Done()
				d.note(name)
				return context.Cause(ctx)
			})
		}
		c := mustNew(t, lastcall.Budget{Total: time.Minute, Reserve: 3 * time.Second}, noSignals, controller.Together(wait("a"), wait("b")))
		time.AfterFunc(time.Minute+time.Second, c.Force)
		_, took := runAfter(c, time.Minute)
		synctest.Wait()
		wantSets(t, d, []string{"a 1m3.9s", "b 1m3.9s"}) // the 3 s to the new deadline, but for 100 ms
		wantTook(t, took, 3900*time.Millisecond)
	})
}

func TestTogetherRefuses(t *testing.T) {
	nothing := func() {}
	closer := func(name string) controller.Option { return controller.WithCloser(name, nothing) }
	const only = "controller: Together takes what WithCloser returns, at least one, and nothing else"
	for name, tt := range map[string]struct {
		opts []controller.Option
		want string
	}{
		"none":              {[]controller.Option{controller.Together()}, only},
		"an empty one":      {[]controller.Option{controller.Together(controller.Together())}, only},
		"nil":               {[]controller.Option{controller.Together(closer("a"), nil)}, "controller: Together: option 2 is nil"},
		"a nil inside":      {[]controller.Option{controller.Together(controller.Together(nil))}, "controller: Together: option 1 is nil"},
		"a nil closer":      {[]controller.Option{controller.Together(closer("a"), controller.WithCloser[func()]("b", nil))}, `controller: closer "b" is nil`},
		"a bad closer":      {[]controller.Option{controller.Together(controller.WithCloser("a", nothing, controller.Timeout(-1)))}, `closer "a": Timeout is -1ns, must be positive`},
		"a server":          {[]controller.Option{controller.Together(closer("a"), withServer("s", valueServer{}))}, only},
		"a worker":          {[]controller.Option{controller.Together(closer("a"), controller.WithWorker("w", func(_, _ context.Context) error { return nil }))}, only},
		"a flusher":         {[]controller.Option{controller.Together(controller.WithFlusher("f", nothing))}, only},
		"an announcer":      {[]controller.Option{controller.Together(closer("a"), controller.WithAnnouncer("f", nothing))}, only},
		"an observer":       {[]controller.Option{controller.Together(closer("a"), controller.WithObserver("o", func(report.Step) {}))}, only},
		"a logger":          {[]controller.Option{controller.Together(closer("a"), controller.WithLogger(zerolog.Nop()))}, only},
		"signals":           {[]controller.Option{controller.Together(closer("a"), controller.WithSignals())}, only},
		"a name twice":      {[]controller.Option{controller.Together(closer("a"), closer("a"))}, `there are two closers with the name "a"`},
		"a name before":     {[]controller.Option{closer("a"), controller.Together(closer("a"), closer("b"))}, `there are two closers with the name "a"`},
		"a name in another": {[]controller.Option{controller.Together(closer("a"), closer("b")), controller.Together(closer("c"), closer("b"))}, `there are two closers with the name "b"`},
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := controller.New(budget, tt.opts...); c != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New says %v, want %q", err, tt.want)
			}
			bubble(t, func(t *testing.T, d *diary, _ func()) { // nor has Add taken any of it
				c := mustNew(t, budget, noSignals, withNoted(d, "mine", 0))
				if err := c.Add(append(tt.opts, closer("mine"))...); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Add says %v, want %q", err, tt.want)
				}
				if err := c.Add(controller.Together(withNoted(d, "x", time.Second), withNoted(d, "y", time.Second))); err != nil {
					t.Error(err)
				}
				r, _ := runAfter(c, time.Minute)
				wantSets(t, d, []string{"x 1m0s", "y 1m0s"}, []string{"mine 1m1s"})
				wantExit(t, r, report.ExitOK)
			})
		})
	}
}

// All that is wrong inside is told at once.
func TestTogetherTellsAll(t *testing.T) {
	_, err := controller.New(budget, controller.Together(controller.WithCloser[func()]("a", nil), controller.WithCloser("", func() {}), controller.WithCloser("c", func() {}, nil)))
	for _, want := range []string{`closer "a" is nil`, "a closer has no name", `closer "c": one of its options is nil`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New says %v, want %q", err, want)
		}
	}
}
