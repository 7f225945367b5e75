package drain_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
)

type keyOf struct{}

// The context of work has the values of the one it was given, not its end, and
// carries the Life of the controller, also if that came later.
func TestContexts(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g := drain.New()
		ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), keyOf{}, "kept"), time.Minute)
		before, err := g.Watcher().Watch(ctx, "before Run")
		if err != nil {
			t.Fatal(err)
		}
		early := lastcall.Draining(before.Context())
		r := begin(t, g, usual)
		after, err := g.Watcher().Watch(ctx, "after Run")
		if err != nil {
			t.Fatal(err)
		}
		task := make(chan context.Context, 1)
		if err := g.Watcher().Go(ctx, "task", func(ctx context.Context) { task <- ctx; <-ctx.Done() }); err != nil {
			t.Fatal(err)
		}
		cancel()
		all := []context.Context{before.Context(), after.Context(), <-task}
		for i, ctx := range all {
			if _, bounded := ctx.Deadline(); ctx.Value(keyOf{}) != "kept" || ctx.Err() != nil || bounded {
				t.Errorf("%d: value %v, ended %v", i, ctx.Value(keyOf{}), ctx.Err())
			}
			if _, known := lastcall.TimerAt(ctx); known {
				t.Errorf("%d: there is a timer already", i)
			}
		}
		r.trigger()
		for i, ctx := range all {
			<-lastcall.Draining(ctx)
			if at, _ := lastcall.TimerAt(ctx); !at.Equal(r.asked.Add(usualTimer)) {
				t.Errorf("%d: the timer fires at %v", i, at)
			}
			if time.Since(r.asked) != 0 || ctx.Err() != nil {
				t.Errorf("%d: after %v, ended %v", i, time.Since(r.asked), ctx.Err())
			}
		}
		<-early
		for i, ctx := range all {
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, lastcall.ErrTimer) || time.Since(r.asked) != usualTimer {
				t.Errorf("%d: ended after %v by %v", i, time.Since(r.asked), cause)
			}
		}
		before.Done()
		after.Done()
		got := r.wait(t)
		wantOutcome(t, got, report.OutcomeCancelled, report.ExitInterrupted)
		wantWork(t, got.Work,
			lastcall.Work{Name: "after Run", Kind: lastcall.WorkTask, Before: 1, Cancelled: 1},
			lastcall.Work{Name: "before Run", Kind: lastcall.WorkTask, Before: 1, Cancelled: 1},
			lastcall.Work{Name: "task", Kind: lastcall.WorkTask, Before: 1, Cancelled: 1})
		if r.took != usualTimer {
			t.Errorf("Run returned after %v, want %v", r.took, usualTimer)
		}
	})
}

// The end of the context comes with Done, and Done counts once.
func TestDone(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g := drain.New()
		r := begin(t, g, usual)
		a, _ := g.Watcher().Watch(context.Background(), "work")
		b, _ := g.Watcher().Watch(context.Background(), "work")
		for range 3 {
			a.Done()
		}
		if a.Context().Err() == nil || b.Context().Err() != nil {
			t.Error("the wrong context has ended")
		}
		if work := g.InFlight(); len(work) != 1 || work[0].Running != 1 {
			t.Errorf("in flight: %+v", work)
		}
		r.trigger()
		time.Sleep(3 * time.Second)
		a.Done()
		b.Done()
		b.Done()
		r.wait(t)
		if r.took != 3*time.Second {
			t.Errorf("Run returned after %v, want 3s", r.took)
		}
		wantWork(t, r.report.Work, lastcall.Work{Name: "work", Kind: lastcall.WorkTask, Served: 1, Before: 1, Completed: 1})
	})
}

// Without a Cancel before it Stop ends contexts, and what ends then was cut.
func TestStopAlone(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g := drain.New()
		h, _ := g.Watcher().Watch(context.Background(), "work")
		server, peer := net.Pipe()
		later(func() { peer.Close() })
		c, err := g.Watcher().WatchConn(context.Background(), "conn", server)
		if err != nil {
			t.Fatal(err)
		}
		over := make(chan struct{})
		go func() { g.Stop(); close(over) }()
		if got := newClient(peer).line(); got != "EOF" {
			t.Errorf("the peer reads %q", got)
		}
		<-over
		if h.Context().Err() == nil || c.Context().Err() == nil {
			t.Error("a context has not ended")
		}
		h.Done()
		synctest.Wait() // for what sets deadlines
		wantWork(t, g.InFlight(),
			lastcall.Work{Name: "conn", Kind: lastcall.WorkConn, Before: 1, Running: 1},
			lastcall.Work{Name: "work", Kind: lastcall.WorkTask, Before: 1, Cut: 1})
		c.Close()
		g.GracefulStop()
		wantWork(t, g.InFlight(),
			lastcall.Work{Name: "conn", Kind: lastcall.WorkConn, Before: 1, Cut: 1},
			lastcall.Work{Name: "work", Kind: lastcall.WorkTask, Before: 1, Cut: 1})
	})
}

// What comes in the settle is counted; what comes later is refused, and noted.
func TestCountsAndRefusals(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g := drain.New()
		w := g.Watcher()
		r := begin(t, g, lastcall.Budget{Total: 16 * time.Second, Settle: 2 * time.Second, Reserve: 6 * time.Second})
		forgotten, _ := w.Watch(context.Background(), "work")
		forgotten.Done()
		first, _ := w.Watch(context.Background(), "work")
		r.trigger()
		time.Sleep(time.Second)
		second, err := w.Watch(context.Background(), "work")
		if err != nil {
			t.Fatal(err)
		}
		first.Done()
		time.Sleep(2 * time.Second)
		if h, err := w.Watch(context.Background(), "work"); !errors.Is(err, drain.ErrClosed) || h != nil {
			t.Errorf("Watch returned %v, %v", h, err)
		}
		if err := w.Go(context.Background(), "task", func(context.Context) { t.Error("it runs") }); !errors.Is(err, drain.ErrClosed) {
			t.Errorf("Go returned %v", err)
		}
		second.Done()
		wantOutcome(t, r.wait(t), report.OutcomeDrained, report.ExitOK)
		wantWork(t, r.report.Work, lastcall.Work{Name: "work", Kind: lastcall.WorkTask, Served: 1, Before: 1, Arrived: 1, Completed: 2})
		wantNotes(t, r.report, "2 pieces of work came after the group was closed and were refused")
		if r.took != 3*time.Second {
			t.Errorf("Run returned after %v", r.took)
		}
		if _, err := w.Watch(context.Background(), "work"); !errors.Is(err, drain.ErrClosed) {
			t.Errorf("after Run Watch returned %v", err)
		}
	})
}

// A handle that nobody gives back is abandoned, with its name; Run returns when
// phase wait has had its share.
func TestNeverDone(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g := drain.New()
		r := begin(t, g, usual)
		h, _ := g.Watcher().Watch(context.Background(), "lost")
		later(h.Done)
		if err := g.Watcher().Go(context.Background(), "deaf", func(context.Context) { <-r.done }); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		time.Sleep(time.Second)
		for range 3 {
			younger, _ := g.Watcher().Watch(context.Background(), "lost")
			later(younger.Done)
		}
		got := r.shutdown(t)
		const waits = usualTimer + fullCancel + grace // and phase wait a third of the rest
		if want := waits + (usual.Total-waits)/3; r.took != want {
			t.Errorf("Run returned after %v, want %v", r.took, want)
		}
		wantOutcome(t, got, report.OutcomeAbandoned, report.ExitAbandoned)
		wantWork(t, got.Work,
			lastcall.Work{Name: "deaf", Kind: lastcall.WorkTask, Before: 1, Running: 1},
			lastcall.Work{Name: "lost", Kind: lastcall.WorkTask, Before: 4, Running: 4})
		if !got.Work[1].Oldest.Equal(began) || got.Work[1].Server != "g" {
			t.Errorf("%+v", got.Work[1])
		}
		for _, s := range got.Failures() {
			if s.Op != report.OpGracefulStop {
				t.Errorf("%v", s)
			}
		}
		if !strings.Contains(got.String(), "lost") {
			t.Errorf("the report does not say which work was lost:\n%v", got)
		}
	})
}

// Each function given to Tell is called once: when the drain begins, or at once if
// it has begun. What one does concerns nobody else.
func TestTell(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		let := make(chan struct{})
		later(func() { close(let) })
		g := drain.New()
		r := begin(t, g, usual)
		h, _ := g.Watcher().Watch(context.Background(), "work")
		over, _ := g.Watcher().Watch(context.Background(), "over")
		other, _ := g.Watcher().Watch(context.Background(), "over")
		calls := make(chan time.Duration, 10)
		tell := func() { calls <- time.Since(r.asked) }
		over.Tell(func() { t.Error("it is told of the drain after Done") })
		over.Done()
		over.Tell(func() { t.Error("it is told of the drain after Done") })
		h.Tell(func() { panic(errAsked) })
		h.Tell(func() { runtime.Goexit() })
		h.Tell(func() { <-let })
		h.Tell(tell)
		h.Tell(tell)
		h.Tell(nil)
		time.Sleep(time.Second)
		if len(calls) > 0 {
			t.Error("it was told before the drain")
		}
		r.trigger()
		for range 2 {
			if at := <-calls; at != 0 {
				t.Errorf("it was told after %v", at)
			}
		}
		time.Sleep(time.Second)
		other.Done()
		other.Tell(func() { t.Error("it is told of the drain after Done") })
		h.Tell(tell)
		if at := <-calls; at != time.Second {
			t.Errorf("it was told after %v, want 1s: at once", at)
		}
		h.Done()
		got := r.wait(t)
		if want := time.Second + grace; r.took != want || len(calls) > 0 { // a moment for what may be about to return
			t.Errorf("Run returned after %v, want %v; %d calls too many", r.took, want, len(calls))
		}
		wantOutcome(t, got, report.OutcomeDrained, report.ExitOK)
		wantWork(t, got.Work,
			lastcall.Work{Name: "over", Kind: lastcall.WorkTask, Served: 1, Before: 1, Completed: 1},
			lastcall.Work{Name: "work", Kind: lastcall.WorkTask, Before: 1, Completed: 1},
			lastcall.Work{Name: "Tell of work", Kind: lastcall.WorkCall, Running: 1})
		for _, want := range []string{"Tell of work panicked: asked for", "Tell of work called runtime.Goexit", "Tell of work was given a nil function"} {
			found := 0
			for _, n := range got.Notes {
				if n.Text == want {
					found++
				}
			}
			if found != 1 || len(got.Notes) != 3 {
				t.Errorf("notes %q, want %q once", got.Notes, want)
			}
		}
	})
}

// A task that fails triggers the shutdown, which names it. The process goes on.
func TestTasksThatFail(t *testing.T) {
	tests := map[string]struct {
		f    func(context.Context)
		text string
		is   error
	}{
		"panics with a text":   {func(context.Context) { panic("boom") }, `drain: task "mail" panicked: boom`, nil},
		"panics with an error": {func(context.Context) { panic(errAsked) }, `drain: task "mail" panicked: asked for`, errAsked},
		"panics with a struct": {func(context.Context) { panic(struct{ a int }{1}) }, `drain: task "mail" panicked: (a value of type struct { a int })`, nil},
		"panics with nil":      {func(context.Context) { panic(new(runtime.PanicNilError)) }, `drain: task "mail" panicked: ` + new(runtime.PanicNilError).Error(), nil},
		"calls Goexit":         {func(context.Context) { runtime.Goexit() }, `drain: task "mail" called runtime.Goexit`, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, later func(func())) {
				g := drain.New()
				r := begin(t, g, usual)
				stays := make(chan struct{})
				if err := g.Watcher().Go(context.Background(), "other", func(ctx context.Context) { <-lastcall.Draining(ctx); close(stays) }); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if err := g.Watcher().Go(context.Background(), "mail", tt.f); err != nil {
					t.Fatal(err)
				}
				<-stays
				got := r.wait(t)
				wantOutcome(t, got, report.OutcomeDrained, report.ExitFailed)
				if want := `Serve "g" ended by itself: ` + tt.text; !strings.EqualFold(got.CauseText, want) {
					t.Errorf("cause %q, want %q", got.CauseText, want)
				}
				var p *drain.PanicError
				if !errors.As(got.Err(), &p) || p.Name != "mail" || (p.Value != nil) != strings.Contains(p.Stack, "TestTasksThatFail") {
					t.Errorf("the report's error is %v, with %+v", got.Err(), p)
				}
				if tt.is != nil && !errors.Is(got.Err(), tt.is) {
					t.Errorf("%v is not %v", got.Err(), tt.is)
				}
				wantNotes(t, got)
			})
		})
	}
}

// Failures that Serve cannot tell are noted: of groups whose Serve is another
// function, during the drain, and all but the first; not without end.
func TestFailuresAreNoted(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g := drain.New()
		over := make(chan struct{})
		r := beginWith(t, usual, controller.WithServer("g", g, controller.Serving(func() error { <-over; return nil }, nil)))
		h, _ := g.Watcher().Watch(context.Background(), "work")
		h.Tell(func() { close(over) })
		var want []string
		for i := range 15 {
			name := fmt.Sprintf("mail %d", i)
			if err := g.Watcher().Go(context.Background(), name, func(context.Context) { panic("boom") }); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if i < 11 {
				want = append(want, "task "+name+" panicked: boom")
			}
		}
		r.trigger()
		<-over
		h.Done()
		got := r.wait(t)
		wantOutcome(t, got, report.OutcomeDrained, report.ExitOK)
		wantNotes(t, got, append(want, "4 more failed")...)
	})
}

// What arrives from outside keeps a settle from ending early; tasks do not.
func TestQuiet(t *testing.T) {
	settle := lastcall.Budget{Total: 26 * time.Second, Settle: 10 * time.Second, Quiet: 2 * time.Second, Reserve: 6 * time.Second}
	bubble(t, func(t *testing.T, later func(func())) {
		e, p, r := serveEcho(t, settle)
		c := newClient(p.dial())
		later(func() { c.Close() })
		c.ask(t, "a\n")
		time.Sleep(time.Minute)
		r.trigger()
		time.Sleep(time.Second)
		if at := e.g.LastArrival(); !at.Equal(r.asked) {
			t.Errorf("the last arrival was %v after the announcement", at.Sub(r.asked))
		}
		c.ask(t, "b\n") // one request more, on a connection that was there
		time.Sleep(1500 * time.Millisecond)
		newClient(p.dial()).Close() // after 2.5 s
		for range 4 {
			time.Sleep(500 * time.Millisecond)
			err := e.g.Watcher().Go(context.Background(), "tick", func(context.Context) {})
			if at := time.Since(r.asked); (err != nil) != (at > 4500*time.Millisecond) && at != 4500*time.Millisecond {
				t.Errorf("after %v Go returned %v", at, err)
			}
		}
		wantOutcome(t, r.wait(t), report.OutcomeDrained, report.ExitOK)
		if want := 4500 * time.Millisecond; r.took != want {
			t.Errorf("Run returned after %v, want %v", r.took, want)
		}
	})
}

// A group behind another takes work until that one has drained.
func TestAfter(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		front, back := drain.New(), drain.New()
		r := beginWith(t, usual, controller.WithServer("front", front), controller.WithServer("back", back, controller.After("front")))
		handler, _ := front.Watcher().Watch(context.Background(), "handler")
		told := make(chan time.Duration, 1)
		ended := make(chan time.Duration, 1)
		r.trigger()
		time.Sleep(2 * time.Second)
		err := back.Watcher().Go(handler.Context(), "task", func(ctx context.Context) {
			<-lastcall.Draining(ctx) // at once: the controller drains
			time.Sleep(3 * time.Second)
			ended <- time.Since(r.asked)
		})
		if err != nil {
			t.Fatal(err)
		}
		conn, _ := back.Watcher().Watch(context.Background(), "session")
		conn.Tell(func() { told <- time.Since(r.asked); conn.Done() })
		time.Sleep(time.Second)
		handler.Done()
		if at := <-told; at != 3*time.Second {
			t.Errorf("it was told after %v, want 3s: when the group closes", at)
		}
		if at := <-ended; at != 5*time.Second {
			t.Errorf("the task ended after %v", at)
		}
		wantOutcome(t, r.wait(t), report.OutcomeDrained, report.ExitOK)
		if r.took != 5*time.Second {
			t.Errorf("Run returned after %v", r.took)
		}
	})
}

// Names without end are summed up.
func TestManyNames(t *testing.T) {
	g := drain.New()
	var all []*drain.Handle
	for range 3 { // names that nothing runs under take no place
		for i := range 1050 {
			h, err := g.Watcher().Watch(t.Context(), fmt.Sprintf("%p %04d", &all, i))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, h)
		}
		work := g.InFlight()
		if len(work) != 1001 || work[0].Name != "(other names)" || work[0].Running != 50 {
			t.Errorf("%d names, the first is %+v", len(work), work[0])
		}
		for _, h := range all {
			h.Done() // those of the rounds before do nothing
		}
		served := 0
		for _, w := range g.InFlight() {
			served += w.Served
			if w.Running != 0 {
				t.Errorf("%+v is left", w)
			}
		}
		if served != len(all) {
			t.Errorf("%d are served, want %d", served, len(all))
		}
	}
}

// What cannot work is an error and no panic.
func TestBadInput(t *testing.T) {
	nothing := func(context.Context) {}
	var zero drain.Watcher
	var handle drain.Handle
	var noHandle *drain.Handle
	w := drain.New().Watcher()
	errs := map[string]error{}
	watch := func(what string, f func() error) { errs[what] = f() }
	watch("zero Watch", func() error { _, err := zero.Watch(t.Context(), "a"); return err })
	watch("zero WatchConn", func() error { _, err := zero.WatchConn(t.Context(), "a", idleConn{}); return err })
	watch("zero Go", func() error { return zero.Go(t.Context(), "a", nothing) })
	watch("unmade Watch", func() error { _, err := new(drain.Group).Watcher().Watch(t.Context(), "a"); return err })
	watch("nil context", func() error { _, err := w.Watch(nil, "a"); return err }) //nolint:staticcheck // on purpose
	watch("no name", func() error { return w.Go(t.Context(), "", nothing) })
	watch("nil function", func() error { return w.Go(t.Context(), "a", nil) })
	watch("nil connection", func() error { _, err := w.WatchConn(t.Context(), "a", nil); return err })
	watch("nil pointer", func() error { _, err := w.WatchConn(t.Context(), "a", (*drain.Conn)(nil)); return err })
	watch("watched already", func() error {
		c, err := w.WatchConn(t.Context(), "a", idleConn{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = w.WatchConn(t.Context(), "b", c)
		return err
	})
	for what, err := range errs {
		if err == nil || errors.Is(err, drain.ErrClosed) || !strings.HasPrefix(err.Error(), "drain: ") {
			t.Errorf("%s: error %v", what, err)
		}
	}
	for _, h := range []*drain.Handle{&handle, noHandle} {
		h.Tell(func() {})
		h.Done()
		if h.Context() == nil {
			t.Error("there is no context")
		}
	}

	unmade := new(drain.Group)
	unmade.GracefulStop()
	unmade.Cancel(t.Context(), errAsked)
	unmade.Stop()
	if unmade.Cut() != 0 || unmade.InFlight() != nil || unmade.Notes() != nil || unmade.Serve() == nil || unmade.Announce(t.Context()) == nil {
		t.Error("a Group that was not made by New does something")
	}
	for what, g := range map[string]*drain.Group{"not made": unmade, "nil": nil} {
		if _, err := g.Listen(&faults.Listener{}).Accept(); err == nil || !strings.Contains(err.Error(), "not made") {
			t.Errorf("%s: Accept returned %v", what, err)
		}
	}
	nilListener := drain.New()
	nilListener.Listen(nil)
	for what, g := range map[string]*drain.Group{"not made": unmade, "Listen was given a nil listener": nilListener, "is nil": nil} {
		if _, err := controller.New(usual, controller.WithServer("g", g)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: controller.New returned %v", what, err)
		}
	}
}

// A trigger before Run, a second controller, and work after Run.
func TestUnusualLives(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g := drain.New()
		h, _ := g.Watcher().Watch(context.Background(), "before")
		ctl, err := controller.New(usual, controller.WithServer("g", g), controller.WithSignals())
		if err != nil {
			t.Fatal(err)
		}
		ctl.Shutdown(errAsked)
		time.AfterFunc(2*time.Second, h.Done)
		got := ctl.Run(context.Background())
		wantOutcome(t, got, report.OutcomeDrained, report.ExitOK)
		if got.Took() != 2*time.Second {
			t.Errorf("Run returned after %v, want 2s", got.Took())
		}

		shared := drain.New()
		again, err := controller.New(lastcall.Budget{Total: time.Hour, Reserve: time.Second}, controller.WithServer("shared", shared), controller.WithSignals())
		if err != nil {
			t.Fatal(err)
		}
		first, second := begin(t, shared, usual), make(chan report.Report)
		synctest.Wait() // its Serve was called
		if _, err := controller.New(usual, controller.WithServer("shared", shared)); err == nil || !strings.Contains(err.Error(), "belongs to one controller") {
			t.Errorf("New, when a controller runs with the group: %v", err)
		}
		held, _ := shared.Watcher().Watch(context.Background(), "held")
		time.AfterFunc(time.Second, func() {
			if at, known := lastcall.TimerAt(held.Context()); !known || time.Until(at) != usualTimer-time.Second {
				t.Errorf("the timer fires in %v, %v; want the first controller's", time.Until(at), known)
			}
			held.Done()
		})
		go func() { second <- again.Run(context.Background()) }()
		if r := <-second; r.ExitCode() != report.ExitFailed || !strings.Contains(r.CauseText, "belongs to one controller") {
			t.Errorf("the second controller says %v", r)
		}
		if _, err := shared.Watcher().Watch(context.Background(), "late"); !errors.Is(err, drain.ErrClosed) {
			t.Errorf("Watch returned %v", err)
		}
		first.wait(t) // its Serve has returned as well
	})
}

// G15: a connection of an accept loop is named with its line, if the function that serves it
// was started by Go under the name of the connection.
func TestG15_AcceptLoop(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g := drain.New()
		r := begin(t, g, usual)
		server, peer := net.Pipe()
		later(func() { peer.Close() })
		c, err := g.Watcher().WatchConn(t.Context(), "orders", server)
		if err != nil {
			t.Fatal(err)
		}
		lines, never := make(chan int, 1), make(chan struct{})
		later(func() { close(never) })
		err = g.Watcher().Go(c.Context(), "orders", func(context.Context) {
			defer c.Close()
			_, _, line, _ := runtime.Caller(0)
			lines <- line + 2
			<-never
		})
		if err != nil {
			t.Fatal(err)
		}
		text := r.shutdown(t).String()
		if want := fmt.Sprintf("work_test.go:%d (", <-lines); strings.Count(text, "running   orders x1") != 2 || strings.Count(text, want) != 2 {
			t.Errorf("want the connection and the task at %s in\n%s", want, text)
		}
	})
}
