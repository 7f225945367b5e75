package proptest

import (
	"context"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall"
)

// fake is a server of which each method behaves as drawn.
type fake struct {
	lastcall.Unimplemented
	*actor
	plan      serverPlan
	accepting chan struct{}

	once      [3]sync.Once
	drained   chan struct{} // GracefulStop has returned
	stopped   chan struct{} // Stop was called
	cancelled chan struct{} // Cancel was called
	asked     int           // how often InFlight was called
	mu        sync.Mutex    // guards asked
}

func newFake(a *actor, p serverPlan) *fake {
	s := &fake{actor: a, plan: p, accepting: make(chan struct{}), drained: make(chan struct{}), stopped: make(chan struct{}), cancelled: make(chan struct{})}
	if p.Elsewhere || p.Bare && !p.Closure {
		s.accept()
	}
	return s
}

// accept has the server accept work when its time comes, if it ever does.
func (s *fake) accept() {
	switch after := s.plan.Accepts; {
	case after == 0:
		close(s.accepting)
	case after > 0:
		time.AfterFunc(after, func() { close(s.accepting) })
	}
}

func (s *fake) Accepting() <-chan struct{} { return s.accepting }

func (s *fake) does(c conduct, more ...<-chan struct{}) {
	_ = s.act(context.Background(), c, more...)
}

func (s *fake) Attach(lastcall.Host) { s.does(s.plan.Attach) }

func (s *fake) Serve() error {
	if s.plan.Elsewhere {
		return lastcall.ErrServedElsewhere
	}
	s.accept()
	return s.act(context.Background(), s.plan.Serve, s.drained, s.stopped)
}

func (s *fake) Announce(ctx context.Context) error { return s.act(ctx, s.plan.Announce) }

func (s *fake) GracefulStop() {
	s.does(s.plan.Graceful, s.stopped, s.cancelled)
	s.once[0].Do(func() { close(s.drained) })
}

func (s *fake) Stop() {
	defer s.once[1].Do(func() { close(s.stopped) })
	s.does(s.plan.Stop)
}

func (s *fake) Cancel(ctx context.Context, _ error) {
	defer s.once[2].Do(func() { close(s.cancelled) })
	_ = s.act(ctx, s.plan.Cancel)
}

func (s *fake) Cut() int {
	s.does(s.plan.Cut)
	return s.plan.Connections
}

// InFlight returns numbers that tell one call from another.
func (s *fake) InFlight() []work {
	s.mu.Lock()
	n := s.asked
	s.asked++
	s.mu.Unlock()
	s.does(s.plan.InFlight)
	return []work{
		{Server: "somebody else", Name: "/s/" + s.plan.Name, Kind: lastcall.WorkUnary, Completed: n, Running: n, Oldest: s.made, Peer: "p"},
		{Name: "/t/" + s.plan.Name, Kind: lastcall.WorkBidiStream, Cancelled: n, Slowest: [3]lastcall.EndedWork{{Began: s.made, Ended: time.Now(), Fate: "cancelled"}, {Began: s.made, Ended: s.made, Fate: "odd"}}},
	}
}

func (s *fake) Notes() []string {
	s.does(s.plan.Notes)
	return []string{"one of " + s.plan.Name, "two"}
}

func (s *fake) IdlePeers() ([]string, bool) { return []string{"p"}, s.plan.Idle }

func (s *fake) LastArrival() time.Time {
	if s.ctl == nil { // New asks
		return s.made
	}
	s.does(s.plan.Arrival)
	latest := s.made
	for _, after := range s.plan.Arrivals {
		if at := s.made.Add(after); !at.After(time.Now()) {
			latest = later(latest, at)
		}
	}
	return latest
}

// fakeWriter is the log's writer.
type fakeWriter struct {
	w     *actor
	plan  observerPlan
	count int
}

func (f *fakeWriter) Write(p []byte) (int, error) {
	if f.count++; f.count >= f.plan.From {
		if err := f.w.act(context.Background(), f.plan.How); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
