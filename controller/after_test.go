package controller_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// batcher answers requests in batches: what has come within a while is answered
// together. It takes requests until its claim ends, and answers those that it has.
type batcher struct {
	d        *diary
	every    time.Duration
	requests chan chan string
}

func (b *batcher) run(claim, work context.Context) error {
	tick := time.NewTicker(b.every)
	defer tick.Stop()
	var batch []chan string
	for {
		select {
		case answer := <-b.requests:
			batch = append(batch, answer)
			continue
		case <-tick.C:
		case <-claim.Done():
			b.d.note("claim: " + context.Cause(claim).Error())
		}
		for _, answer := range batch {
			answer <- "batched"
		}
		batch = nil
		if claim.Err() != nil {
			return work.Err()
		}
	}
}

// handlers is a server whose GracefulStop waits for the requests in flight.
func handlers(d *diary, ended <-chan struct{}) *server {
	s := newServer(d, "grpc", 0)
	s.graceful = func() { <-ended }
	return s
}

// G2, G4: a worker that the handlers of a server need is registered After it: what
// arrives in settle, and what is in flight in drain, is batched and answered, and the
// worker is told to end in the instant in which the server has ended.
func TestG2_WorkerAfterServer(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		b := &batcher{d: d, every: 300 * time.Millisecond, requests: make(chan chan string)}
		ended := make(chan struct{})
		c := mustNew(t, budget, noSignals,
			withServer("grpc", handlers(d, ended)), controller.WithWorker("batcher", b.run, controller.After("grpc")),
			controller.WithCloser("db", func() { d.note("db closed") }))
		var answered atomic.Int32
		for _, at := range []time.Duration{time.Second, time.Minute + time.Second, time.Minute + 1900*time.Millisecond} { // two of them in settle
			time.AfterFunc(at, func() {
				answer := make(chan string)
				b.requests <- answer
				if <-answer == "batched" && answered.Add(1) == 3 { // in phase drain
					time.Sleep(700 * time.Millisecond)
					close(ended)
				}
			})
		}
		r, took := runAfter(c, time.Minute)
		wantExit(t, r, report.ExitOK)
		wantPath(t, r, false)
		wantTook(t, took, 2800*time.Millisecond) // the batch of 2.1 s, and 0.7 s
		d.want(t, "grpc graceful 1m2s", "claim: "+lastcall.ErrClaim.Error()+" 1m2.8s", "db closed 1m2.8s")
		if n := answered.Load(); n != 3 {
			t.Errorf("%d of 3 requests were answered", n)
		}
	})
}

// G2, G5: a worker that still waits for a server when the timer fires is told then, by
// the end of its work.
func TestG5_WorkerAfterServerThatIsLate(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		s := newServer(d, "grpc", time.Hour)
		s.stop = func() { s.halt(); time.Sleep(time.Second) }
		c := mustNew(t, budget, noSignals, withServer("grpc", s),
			controller.WithWorker("batcher", func(claim, work context.Context) error {
				<-claim.Done()
				d.note("claim")
				for _, ctx := range []context.Context{claim, work} {
					if !errors.Is(context.Cause(ctx), lastcall.ErrTimer) {
						t.Errorf("ended with %v, want ErrTimer", context.Cause(ctx))
					}
				}
				return work.Err()
			}, controller.After("grpc")))
		r, _ := runAfter(c, time.Minute)
		wantExit(t, r, report.ExitInterrupted)
		d.wantTies(t, "grpc graceful 1m2s", "claim 1m6s", "grpc stop 1m6s")
		if s := step(t, r, report.OpWork, "batcher"); s.Failed() { // it returned as soon as it was told
			t.Errorf("%v", s)
		}
	})
}

// G8, G15: the timer overtakes a worker that stands After a server together with that
// server, whose handlers hold the shutdown. The worker has not been told to end before, so
// it has not failed by then; one that does not return when it is told has.
func TestG15_WorkerIsNotBlamedForTheServerItStandsAfter(t *testing.T) {
	for name, tt := range map[string]struct {
		returns time.Duration // after the timer
		failed  []string
	}{
		"at once":     {0, nil},
		"in the wait": {time.Second, nil},
		"never":       {time.Hour, []string{`worker "queue" timed out`}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				c := mustNew(t, budget, noSignals, withServer("grpc", newServer(d, "grpc", time.Hour)),
					controller.WithWorker("consumer", func(claim, _ context.Context) error { <-claim.Done(); return nil }),
					controller.WithWorker("queue", func(claim, _ context.Context) error {
						<-claim.Done()
						time.Sleep(tt.returns)
						return nil
					}, controller.After("grpc")))
				r, _ := runAfter(c, time.Minute)
				var failed []string
				for _, s := range r.Failures() {
					failed = append(failed, s.Subject()+" "+s.Result.String())
				}
				if !slices.Equal(failed, tt.failed) {
					t.Errorf("failed: %q, want %q", failed, tt.failed)
				}
			})
		})
	}
}

// G2: After is one order for servers and workers, of any length, whatever was
// registered first, and in whichever call of Add.
func TestG2_AfterIsOneOrder(t *testing.T) {
	const s = time.Second
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		long := budget
		long.Total, long.Settle = time.Minute, 0
		worker := func(name string, takes time.Duration, opts ...controller.WorkerOption) controller.Option {
			return controller.WithWorker(name, func(claim, _ context.Context) error {
				<-claim.Done()
				d.note(name + " told")
				time.Sleep(takes)
				return claim.Err()
			}, opts...)
		}
		c := mustNew(t, long, noSignals,
			worker("writer", s, controller.After("batcher")),
			worker("batcher", s, controller.After("web"), controller.After("grpc")), // names add up
			withServer("grpc", newServer(d, "grpc", s), controller.After("gateway", "poller")),
			worker("poller", 3*s),
			withServer("gateway", newServer(d, "gateway", 2*s)),
			withServer("web", newServer(d, "web", 5*s)))
		if err := c.Add(withServer("back", newServer(d, "back", s), controller.After("writer"))); err != nil {
			t.Fatal(err)
		}
		r, took := runAfter(c, time.Minute)
		d.wantTies(t, "poller told 1m0s", "gateway graceful 1m0s", "web graceful 1m0s",
			"grpc graceful 1m3s", // the poller takes longest
			"batcher told 1m5s",  // and of grpc and web the latter
			"writer told 1m6s", "back graceful 1m7s")
		wantTook(t, took, 8*s)
		wantExit(t, r, report.ExitOK)
	})
}

// G3: a server has ended when its GracefulStop and its Serve have returned; only then
// are those told that stand After it. One whose GracefulStop panicked has not ended.
func TestG3_AfterWaitsForServeToo(t *testing.T) {
	claim := func(d *diary) controller.Option {
		return controller.WithWorker("w", func(claim, _ context.Context) error {
			<-claim.Done()
			d.note("w told")
			return claim.Err()
		}, controller.After("s"))
	}
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		s := newServer(d, "s", time.Second)
		s.serve = func() error { <-s.down; time.Sleep(time.Second); return nil }
		r, _ := runAfter(mustNew(t, budget, noSignals, withServer("s", s), claim(d)), time.Minute)
		d.want(t, "s graceful 1m2s", "w told 1m4s")
		wantExit(t, r, report.ExitOK)
	})
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		s := newServer(d, "s", 0)
		s.graceful = func() { panic("as written") }
		r, _ := runAfter(mustNew(t, budget, noSignals, withServer("s", s), claim(d)), time.Minute)
		d.wantTies(t, "s graceful 1m2s", "w told 1m6s", "s stop 1m6s")
		wantExit(t, r, report.ExitInterrupted)
	})
	bubble(t, func(t *testing.T, d *diary, _ func()) { // one that ended by itself had GracefulStop to come
		s := newServer(d, "s", 0)
		s.serve = func() error { time.Sleep(time.Minute); return nil }
		r := mustNew(t, budget, noSignals, withServer("s", s), claim(d)).Run(context.Background())
		d.want(t, "s graceful 1m0s", "w told 1m0s")
		wantExit(t, r, report.ExitOK)
	})
}

// What stands After something that was never started, or has ended before, waits for
// nothing.
func TestG4_AfterWhatHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		once := controller.WithWorker("once", func(_, _ context.Context) error { return nil })
		r, took := runAfter(mustNew(t, budget, noSignals, once, withServer("s", newServer(d, "s", time.Second), controller.After("once"))), time.Minute)
		d.want(t, "s graceful 1m2s")
		wantTook(t, took, 3*time.Second)
		wantExit(t, r, report.ExitOK)
	})
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		worker := func(_, _ context.Context) error { d.note("started"); return nil }
		c := mustNew(t, budget, noSignals, controller.WithWorker("w", worker), withServer("s", newServer(d, "s", 0), controller.After("w")), controller.WithWorker("v", worker, controller.After("s")))
		c.Shutdown(errAsked)
		r := c.Run(context.Background())
		d.want(t, "s graceful 0s")
		wantTook(t, r.Took(), 0)
		wantExit(t, r, report.ExitOK)
	})
}

// G6: a worker that waits for a server has not been told to end: an error in drain is
// one of its own, and makes the shutdown a failed one. What it returns later is not.
func TestG6_WorkerThatFailsBeforeItIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		early bool
		exit  int
	}{"in drain": {true, report.ExitFailed}, "when it was told": {false, report.ExitOK}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				c := mustNew(t, budget, noSignals, withServer("s", newServer(d, "s", 2*time.Second)),
					controller.WithWorker("w", func(claim, _ context.Context) error {
						if tt.early {
							time.Sleep(time.Minute + 3*time.Second)
						} else {
							<-claim.Done()
						}
						return errPort
					}, controller.After("s")))
				r, took := runAfter(c, time.Minute)
				wantExit(t, r, tt.exit)
				wantTook(t, took, 4*time.Second)
				if !errors.Is(r.Cause, errAsked) {
					t.Errorf("cause %v", r.Cause)
				}
				synctest.Wait()
			})
		})
	}
}
