package contracttest

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func cancels(t *testing.T, s Subject) {
	r := run(t, s)
	w := r.begin(t, false)
	go r.drain()
	synctest.Wait()
	if r.elsewhere { // the other server may still have to write answers
		r.cancel()
	} else {
		atOnce(t, "Cancel", r.cancel)
	}
	synctest.Wait()
	if w.ctx.Err() == nil {
		t.Fatal("the handler's context has not ended")
	}
	if cause := context.Cause(w.ctx); cause != errCause { //nolint:errorlint // it is the very value
		t.Errorf("the cause is %v", cause)
	}
	r.end(t)
}

func givesUp(t *testing.T, s Subject) {
	r := run(t, s)
	w := r.begin(t, true)
	go r.drain()
	synctest.Wait()
	ctx, cancel := context.WithTimeout(r.drained, time.Second)
	defer cancel()
	start := time.Now()
	r.Server.Cancel(ctx, errCause)
	if took := time.Since(start); took > time.Second {
		t.Errorf("Cancel returned %v after its context began, which lasts a second", took)
	}
	r.Server.Stop()
	r.Server.Cut()
	synctest.Wait()
	if got := sum(t, r.Server); got.Running != 1 {
		t.Errorf("a handler that ignores its context runs, and InFlight says %+v", got)
	}
	close(w.release)
	r.end(t)
}

func cancelsNothing(t *testing.T, s Subject) {
	r := run(t, s)
	w := r.begin(t, false)
	close(w.release)
	w.ends()
	go r.drain()
	atOnce(t, "Cancel with nothing in flight", r.cancel)
	r.end(t)
}

func stops(t *testing.T, s Subject) {
	r := run(t, s)
	w := r.begin(t, false)
	go r.drain()
	synctest.Wait()
	r.Server.Stop()
	synctest.Wait()
	if w.ctx.Err() == nil {
		t.Error("the handler's context has not ended")
	}
	select {
	case <-w.result: //nolint:errcheck // that it got any answer
	case <-time.After(time.Minute):
		t.Error("the client waits for ever")
	}
	r.end(t)
}

func stopsBefore(t *testing.T, s Subject) {
	i := s.New(t)
	i.Server.Stop()
	i.Server.Stop()
	atOnce(t, "Serve after Stop", func() {
		if err := ended(i.Server.Serve()); err != nil {
			t.Errorf("Serve after Stop returned %v", err)
		}
	})
}

func drainsBefore(t *testing.T, s Subject) {
	i := s.New(t)
	atOnce(t, "GracefulStop before Serve", i.Server.GracefulStop)
	atOnce(t, "Serve after GracefulStop", func() {
		if err := ended(i.Server.Serve()); err != nil {
			t.Errorf("Serve after GracefulStop returned %v", err)
		}
	})
}

func together(t *testing.T, s Subject) {
	r := run(t, s)
	w := r.begin(t, false)
	var all sync.WaitGroup
	for range 3 {
		all.Go(r.drain)
		all.Go(func() { _ = r.Server.Announce(t.Context()) })
		all.Go(r.cancel)
		all.Go(r.Server.Stop)
		all.Go(func() { r.Server.Cut() })
		all.Go(func() { r.Server.InFlight() })
		all.Go(func() { r.Server.Notes() })
	}
	all.Wait()
	w.ends()
	r.end(t)
}
