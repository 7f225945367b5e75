package contracttest_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/contracttest"
	"github.com/lastcall-go/lastcall/internal/inflight"
)

// pool is the smallest server that keeps the whole contract: it runs functions.
type pool struct {
	lastcall.Unimplemented
	tracker   *inflight.Tracker[*job]
	host      lastcall.Host
	accepting chan struct{}
	over      chan struct{}

	mu     sync.Mutex
	served bool
	ended  bool
}

type job struct {
	inflight.Item[*job]
	end  context.CancelCauseFunc
	done chan struct{} // closed when the client has its answer
	err  error
	once sync.Once
}

func (j *job) answer(err error) {
	j.once.Do(func() {
		j.err = err
		close(j.done)
	})
}

var (
	errStopped = errors.New("pool: stopped")
	errRefused = errors.New("pool: takes no new work")
)

func newPool() *pool {
	return &pool{
		tracker:   inflight.New(func(*job) inflight.Label { return inflight.Label{Name: "job", Kind: lastcall.WorkTask} }),
		accepting: make(chan struct{}),
		over:      make(chan struct{}),
	}
}

func (p *pool) Accepting() <-chan struct{} { return p.accepting }
func (p *pool) Attach(h lastcall.Host)     { p.host = h }

func (p *pool) Serve() error {
	p.mu.Lock()
	if p.served {
		p.mu.Unlock()
		return errors.New("pool: served before")
	}
	p.served = true
	close(p.accepting)
	p.mu.Unlock()
	<-p.over
	return nil
}

func (p *pool) Announce(context.Context) error {
	p.tracker.Enter(inflight.Announced)
	return nil
}

func (p *pool) GracefulStop() {
	p.tracker.Enter(inflight.Draining)
	p.tracker.Seal()
	<-p.tracker.Sealed()
	p.close()
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.ended = true
		close(p.over)
	}
}

func (p *pool) Cancel(_ context.Context, cause error) {
	all := p.tracker.Cancel()
	for _, j := range all {
		j.answer(cause)
		j.end(cause)
	}
}

func (p *pool) Stop() {
	p.tracker.Enter(inflight.Stopped)
	for _, j := range p.tracker.InFlight() {
		j.answer(errStopped)
		j.end(errStopped)
	}
	p.tracker.Seal()
	p.close()
}

func (p *pool) InFlight() []lastcall.Work {
	return p.tracker.Work(func(*job, *lastcall.Work) {})
}

func (p *pool) LastArrival() time.Time { return p.tracker.LastArrival() }

func (p *pool) begin(handle func(context.Context)) <-chan error {
	result := make(chan error, 1)
	j := &job{done: make(chan struct{})}
	ctx, end := context.WithCancelCause(lastcall.NewContext(context.Background(), p.host.Life()))
	j.end = end
	if !p.tracker.Begin(j, inflight.Draining, true) {
		end(nil)
		result <- errRefused
		return result
	}
	go func() {
		defer end(nil)
		handle(ctx)
		fate := inflight.ByStage
		if ctx.Err() != nil && p.tracker.Stage() == inflight.Refusing {
			fate = inflight.Cancelled
		}
		p.tracker.End(j, fate)
		j.answer(nil)
	}()
	go func() {
		<-j.done
		result <- j.err
	}()
	return result
}

func TestReference(t *testing.T) {
	contracttest.TestContract(t, contracttest.Subject{
		New: func(*testing.T) contracttest.Instance {
			p := newPool()
			return contracttest.Instance{Server: p, Begin: p.begin}
		},
	})
}

// wrapper is a server around another one that changes nothing: what it embeds it
// passes on.
type wrapper struct{ lastcall.FullServer }

func TestWrapperLosesNothing(t *testing.T) {
	contracttest.TestContract(t, contracttest.Subject{
		New: func(*testing.T) contracttest.Instance {
			p := newPool()
			return contracttest.Instance{Server: wrapper{p}, Begin: p.begin}
		},
	})
}
