// Package child is the process that a run of the bench measures: a server, the work
// and the dependencies of it, and one contestant that runs and stops them.
package child

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// Spec is what the parent asks of a child, as JSON on its command line.
type Spec struct {
	Peer            string        // the contestant
	Proto           string        // what the process serves: "grpc", "h1", "h1tls", "h2", "h2c", or "" for nothing
	Grace           time.Duration // when work that still runs is to be ended, counted from the signal
	Budget          time.Duration // when the process is to be over, counted from the signal
	Settle          time.Duration // how long to serve on after the signal
	Closers         []string      // what the dependencies do when they are closed, in the order of opening: "quick", "hang", "panic"
	Quick           int           // so many quick closers more
	Workers         int           // so many workers, which return when their context ends
	HangingFlusher  bool          // the exporter of telemetry hangs
	WaitForHandlers bool          // grpc.WaitForHandlers(true)
	Opening         time.Duration // how long opening the dependencies takes; it ends early with its context
	Silent          bool          // a contestant that logs leaves it
}

// Peer runs a process as one contestant does, from main's first line to its last, and
// returns the exit code.
type Peer func(*Process) (exit int)

// Event is something that happened in a child. Events are appended to a file, so that
// they outlive a process that hangs or dies, and wake no reader while it is measured.
type Event struct {
	Kind  string // "opening", "close", "returned", "left"
	Name  string // the closer
	At    int64  // Unix time in nanoseconds
	N     int    // "close": the handlers running; "returned": the exit code; "left": the goroutines left
	End   int64  // "returned": when the last handler ended
	Bound int64  // "returned": when the contestant said that it would return
}

// Status answers the parent's question about a running child.
type Status struct {
	Addr        string
	Running     int    // handlers
	Goroutines  int    // after "memory"
	Heap, Stack uint64 // after "memory": bytes, after a collection
}

// Process is what a contestant has to run and stop.
type Process struct {
	Spec

	Lis    net.Listener // for contestants that take one; nil if Proto is ""
	Addr   string
	Opts   []grpc.ServerOption
	Health *health.Server // the one that GRPCServer registers

	events  *os.File
	running atomic.Int64
	lastEnd atomic.Int64
	bound   atomic.Int64
	force   atomic.Pointer[func()]
}

// Closer is a dependency of the process.
type Closer struct {
	Name  string
	Close func(context.Context) error
}

func (p *Process) emit(e Event) {
	if e.At == 0 {
		e.At = time.Now().UnixNano()
	}
	if err := json.NewEncoder(p.events).Encode(e); err != nil { // one Write
		panic(err)
	}
}

// Context returns a context that ends with the first signal, or as OnForce says, for
// contestants that leave signals to the user.
func (p *Process) Context() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	p.OnForce(stop)
	return ctx, stop
}

// OnForce sets what happens when the parent asks for a forced end.
func (p *Process) OnForce(force func()) { p.force.Store(&force) }

// Open opens the dependencies.
func (p *Process) Open(ctx context.Context) error {
	if p.Opening == 0 {
		return nil
	}
	p.emit(Event{Kind: "opening"})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(p.Opening):
		return nil
	}
}

// Bound records when the contestant has promised to return.
func (p *Process) Bound(t time.Time) { p.bound.Store(t.UnixNano()) }

// Register registers the service.
func (p *Process) Register(s grpc.ServiceRegistrar) { register(p, s) }

// GRPCServer returns a server with the service and a health service, for contestants
// that do not build one.
func (p *Process) GRPCServer() *grpc.Server {
	srv := grpc.NewServer(p.Opts...)
	p.Register(srv)
	p.Health = health.NewServer()
	healthpb.RegisterHealthServer(srv, p.Health)
	return srv
}

// HTTPServer returns a server with the handler, for the protocol of the Spec.
func (p *Process) HTTPServer() *http.Server {
	return &http.Server{ReadHeaderTimeout: time.Minute, Handler: p.Handler(), Protocols: p.Protocols(), TLSConfig: p.TLSConfig()}
}

// ServeHTTP serves on the listener until the server is shut down.
func (p *Process) ServeHTTP(srv *http.Server) error {
	var err error
	if srv.TLSConfig != nil {
		err = srv.ServeTLS(p.Lis, "", "")
	} else {
		err = srv.Serve(p.Lis)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Dependencies returns the closers in the order of opening: the last is to be closed first.
func (p *Process) Dependencies() []Closer {
	var all []Closer
	for i, does := range p.Closers {
		all = append(all, p.closer(fmt.Sprintf("%s%d", does, i+1), does))
	}
	for i := range p.Quick {
		all = append(all, Closer{fmt.Sprint("q", i), func(context.Context) error { return nil }})
	}
	return all
}

func (p *Process) closer(name, does string) Closer {
	return Closer{name, func(context.Context) error {
		p.emit(Event{Kind: "close", Name: name, N: int(p.running.Load())})
		switch does {
		case "hang":
			select {}
		case "panic":
			panic("a closer panics")
		}
		return nil
	}}
}

// CloseAll closes the dependencies one after the other, the last opened first, as
// deferred calls in main do.
func (p *Process) CloseAll() {
	all := p.Dependencies()
	for _, d := range slices.Backward(all) {
		_ = d.Close(context.Background())
	}
	if p.HangingFlusher {
		select {}
	}
}

// Flush is the exporter's last call.
func (p *Process) Flush(context.Context) error {
	if p.HangingFlusher {
		select {}
	}
	return nil
}

// Work is what each worker runs.
func (p *Process) Work(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// StartWorkers starts the workers and returns a function that waits for them.
func (p *Process) StartWorkers(ctx context.Context) (wait func()) {
	var wg sync.WaitGroup
	for range p.Workers {
		wg.Go(func() { _ = p.Work(ctx) })
	}
	return wg.Wait
}
