package contracttest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
)

type testCase struct {
	name string
	run  func(*testing.T, Subject)
	sees bool // it is for servers that see their work
}

// cases are what every server must do. A case's name is the sentence that it checks.
func cases() []testCase {
	return []testCase{
		{"the zero value does nothing and says so", zero, false},
		{"it accepts after Serve and not before", accepts, false},
		{"a second Serve fails", secondServe, false},
		{"an idle server drains at once", idle, false},
		{"the drain waits for work and ends with it", waits, false},
		{"work that comes after the drain is refused", refuses, false},
		{"handlers hear of the drain and the timer", tells, true},
		{"the numbers add up", counts, true},
		{"Cancel ends contexts with the cause", cancels, true},
		{"Cancel gives up with its context", givesUp, true},
		{"Cancel with nothing in flight returns at once", cancelsNothing, false},
		{"Stop ends the work", stops, false},
		{"Stop before Serve", stopsBefore, false},
		{"GracefulStop before Serve", drainsBefore, false},
		{"the verbs may be called at the same time", together, false},
		{"arrivals are known from the announcement on", arrivals, false},
		{"what has work does not say that only idle peers hold it", busyIsNotIdle, false},
		{"silent peers do not hold others for long", silent, false},
	}
}

func zero(t *testing.T, s Subject) {
	if s.Zero == nil {
		t.Skip("its type is not exported")
	}
	if s.Zero.Check() == nil {
		t.Error("Check of the zero value is nil")
	}
	if s.Zero.Serve() == nil {
		t.Error("Serve of the zero value is nil")
	}
	s.Zero.Attach(&host{})
	_ = s.Zero.Announce(t.Context())
	s.Zero.GracefulStop()
	s.Zero.Cancel(t.Context(), errCause)
	s.Zero.Stop()
	if n := s.Zero.Cut(); n != 0 {
		t.Errorf("Cut closed %d connections", n)
	}
	_, _, _ = s.Zero.InFlight(), s.Zero.Notes(), s.Zero.LastArrival()
	_, _ = s.Zero.StopsLast(), s.Zero.Accepting()
	if _, idle := s.Zero.IdlePeers(); idle {
		t.Error("the zero value knows that peers are idle")
	}
}

// busyIsNotIdle: with work in flight something may be lost.
func busyIsNotIdle(t *testing.T, s Subject) {
	r := run(t, s)
	w := r.begin(t, true)
	_ = r.Server.Announce(t.Context())
	go r.Server.GracefulStop()
	time.Sleep(time.Second)
	if peers, idle := r.Server.IdlePeers(); idle {
		t.Errorf("IdlePeers returns %q, true, with work in flight", peers)
	}
	close(w.release)
	w.ends()
	r.end(t)
}

func accepts(t *testing.T, s Subject) {
	i := s.New(t)
	if err := i.Server.Check(); err != nil {
		t.Fatalf("Check: %v", err)
	}
	if first, second := i.Server.Accepting(), i.Server.Accepting(); first == nil || first != second {
		t.Error("Accepting is nil, or not always the same")
	}
	synctest.Wait()
	if foreign.IsClosed(i.Server.Accepting()) && !servedElsewhere(i.Server.Serve()) {
		t.Error("it accepts before Serve")
	}
	i.Server.GracefulStop()
	r := run(t, s)
	w := r.begin(t, false)
	close(w.release)
	if err := <-w.result; err != nil {
		t.Errorf("the first piece of work: %v", err)
	}
	r.end(t)
}

func secondServe(t *testing.T, s Subject) {
	r := run(t, s)
	if err := r.Server.Serve(); err == nil {
		t.Error("a second Serve returned nil")
	}
	w := r.begin(t, false) // and the first one still serves
	close(w.release)
	if err := <-w.result; err != nil {
		t.Error(err)
	}
	r.end(t)
}

func idle(t *testing.T, s Subject) {
	r := run(t, s)
	_ = r.Server.Announce(t.Context())
	close(r.host.draining)
	atOnce(t, "GracefulStop of an idle server", r.Server.GracefulStop)
	atOnce(t, "the end of Serve", func() {
		if err := <-r.served; err != nil {
			t.Errorf("Serve returned %v", err)
		}
	})
}

func waits(t *testing.T, s Subject) {
	r := run(t, s)
	w := r.begin(t, false)
	drained := make(chan time.Time, 1)
	go func() {
		r.Server.GracefulStop()
		drained <- time.Now()
	}()
	time.Sleep(time.Minute)
	synctest.Wait()
	if w.ctx.Err() != nil {
		t.Errorf("the drain has ended the handler's context: %v", context.Cause(w.ctx))
	}
	select {
	case <-drained:
		t.Fatal("GracefulStop returned while a handler was running")
	default:
	}
	ended := time.Now()
	close(w.release)
	if err := <-w.result; err != nil {
		t.Errorf("the work got no answer: %v", err)
	}
	if late := (<-drained).Sub(ended); late > 100*time.Millisecond {
		t.Errorf("GracefulStop returned %v after the last handler", late)
	}
	if err := <-r.served; err != nil {
		t.Errorf("Serve returned %v", err)
	}
}

func refuses(t *testing.T, s Subject) {
	r := run(t, s)
	r.Server.GracefulStop()
	called := false
	result := r.Begin(func(context.Context) { called = true })
	synctest.Wait()
	select {
	case err := <-result:
		if err == nil {
			t.Error("work that came after the drain got an answer")
		}
	case <-time.After(time.Minute):
		t.Error("work that came after the drain is neither served nor refused")
	}
	if called {
		t.Error("its handler was called")
	}
	r.end(t)
}

func tells(t *testing.T, s Subject) {
	r := run(t, s)
	w := r.begin(t, false)
	if at, ok := lastcall.TimerAt(w.ctx); !ok || !at.Equal(r.host.timer) {
		t.Errorf("TimerAt is %v, %v", at, ok)
	}
	draining := lastcall.Draining(w.ctx)
	if draining == nil || foreign.IsClosed(draining) {
		t.Error("Draining is nil, or closed before the drain")
	}
	close(r.host.draining)
	go r.Server.GracefulStop()
	synctest.Wait()
	if !foreign.IsClosed(draining) {
		t.Error("Draining is not closed in the drain")
	}
	close(w.release)
	w.ends()
	r.end(t)
}

// sum adds up what a server says of its work, without calls.
func sum(t *testing.T, s lastcall.FullServer) (total lastcall.Work) {
	t.Helper()
	for _, w := range s.InFlight() {
		if w.Kind == lastcall.WorkCall {
			continue
		}
		if begun, ended := w.Before+w.Arrived, w.Completed+w.Cancelled+w.Cut+w.Running; begun > 0 && begun != ended {
			t.Errorf("%d begun, %d ended or running: %+v", begun, ended, w)
		}
		total.Running += w.Running
		total.Before += w.Before
		total.Arrived += w.Arrived
		total.Completed += w.Completed
		total.Cancelled += w.Cancelled
		total.Cut += w.Cut
	}
	return total
}

func counts(t *testing.T, s Subject) {
	r := run(t, s)
	want := func(when string, want lastcall.Work) {
		t.Helper()
		if got := sum(t, r.Server); got != want {
			t.Errorf("%s: got %+v, want %+v", when, got, want)
		}
	}
	before := r.begin(t, false)
	want("in service", lastcall.Work{Running: 1})
	_ = r.Server.Announce(t.Context())
	want("announced", lastcall.Work{Running: 1, Before: 1})
	arrived := r.begin(t, false)
	want("one arrived", lastcall.Work{Running: 2, Before: 1, Arrived: 1})
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		r.drain()
	}()
	close(before.release)
	before.ends()
	synctest.Wait()
	want("one completed", lastcall.Work{Running: 1, Before: 1, Arrived: 1, Completed: 1})
	r.cancel()
	arrived.ends()
	<-drained
	want("one cancelled", lastcall.Work{Before: 1, Arrived: 1, Completed: 1, Cancelled: 1})
	r.end(t)
}

func arrivals(t *testing.T, s Subject) {
	r := run(t, s)
	made := r.Server.LastArrival()
	if made.IsZero() { // it cannot tell
		r.end(t)
		return
	}
	time.Sleep(time.Second)
	_ = r.Server.Announce(t.Context())
	announced := time.Now()
	if got := r.Server.LastArrival(); !got.Equal(announced) {
		t.Errorf("the last arrival is %v after the announcement, want 0", got.Sub(announced))
	}
	time.Sleep(time.Second)
	w := r.begin(t, false)
	if got := r.Server.LastArrival(); !got.Equal(time.Now()) {
		t.Errorf("the last arrival was %v ago, want 0", time.Since(got))
	}
	close(w.release)
	w.ends()
	r.end(t)
}

func silent(t *testing.T, s Subject) {
	r := run(t, s)
	if r.Idle == nil { // it has no connections
		r.end(t)
		return
	}
	r.Idle()
	synctest.Wait()
	start := time.Now()
	r.Server.GracefulStop()
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("GracefulStop took %v with a silent peer", took)
	}
	r.end(t)
}
