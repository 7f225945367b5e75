package proptest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
)

const adminName = "admin"

// realWorld is the servers of a plan, what they serve, and their clients.
type realWorld struct {
	*actor
	testgrpc.UnimplementedTestServiceServer
	plan   *realPlan
	nets   []*memory // by server
	office *memory   // the admin server's
	tasks  drain.Watcher

	ctx   context.Context //nolint:containedctx // the clients'
	leave context.CancelFunc
	mu    sync.Mutex // guards what is below
	rpcs  map[[2]int]*grpc.ClientConn
	https map[string]*http.Client
}

// World makes the world, in a bubble.
func (p *realPlan) World() World {
	w := &realWorld{actor: newActor(len(p.asks)), plan: p, rpcs: map[[2]int]*grpc.ClientConn{}, https: map[string]*http.Client{}}
	w.office = newMemory(w.log, adminName)
	for _, s := range p.servers {
		w.nets = append(w.nets, newMemory(w.log, s.Name))
	}
	w.ctx, w.leave = context.WithCancel(context.Background())
	return w
}

// Setup returns what the plan registers.
func (w *realWorld) Setup() *Setup {
	s := &Setup{Budget: w.plan.budget}
	for i, p := range w.plan.servers {
		one := Server{Name: p.Name, After: p.After}
		one.server, one.Serve = w.build(i)
		s.Servers = append(s.Servers, one)
	}
	if w.plan.admin {
		s.Servers = append(s.Servers, Server{Name: adminName, Last: true, server: httpadapter.New(w.office, &http.Server{Handler: http.HandlerFunc(w.serveAdmin)})})
	}
	for i, p := range w.plan.workers {
		s.Workers = append(s.Workers, Worker{Name: name("worker", i), run: func(claim, work context.Context) error { return w.toil(claim, work, p) }})
	}
	dep := func(kind string, i int, p stepPlan) Dep {
		return Dep{Name: name(kind, i), run: func(context.Context) error {
			w.visit(visit{}, name(kind, i)) // the admin server is still there
			time.Sleep(p.How.after)
			return nil
		}}
	}
	s.Closers = groups(w.plan.closers, dep)
	for i, p := range w.plan.flushers {
		s.Flushers = append(s.Flushers, dep("flusher", i, p))
	}
	return s
}

// build makes a server, and says how it is started if it does not know by itself.
func (w *realWorld) build(i int) (lastcall.FullServer, func() error) {
	s := w.plan.servers[i]
	switch s.Kind {
	case grpcKind:
		opts := []grpcadapter.Option{grpcadapter.WithSpread(s.Spread)}
		if s.Contexts {
			opts = append(opts, grpcadapter.WithUnaryContexts())
		}
		g := grpcadapter.New(grpcadapter.WrapListener(w.nets[i], grpcadapter.HandshakeTime(s.Handshake)), opts...)
		testgrpc.RegisterTestServiceServer(g.NewServer(grpc.WaitForHandlers(s.Waits)), w)
		return g, nil
	case httpKind:
		mux := http.NewServeMux()
		mux.HandleFunc("GET /job/{id}", w.serveHTTP)
		speaks := new(http.Protocols)
		speaks.SetHTTP1(true)
		speaks.SetUnencryptedHTTP2(true)
		return httpadapter.New(w.nets[i], &http.Server{Handler: mux, Protocols: speaks}, httpadapter.WithHandshakeTime(s.Handshake)), nil
	case rawKind:
		g := drain.New()
		lis := g.Listen(w.nets[i])
		return g, func() error { return w.accept(lis, g.Watcher()) }
	default:
		g := drain.New()
		w.tasks = g.Watcher()
		return g, nil
	}
}

// errEnded is what a handler returns that was told to end.
var errEnded = errors.New("the context has ended")

// handle is what the handler of a job does: a span that has failed if its context has
// ended before it was done.
func (w *realWorld) handle(ctx context.Context, i int, trickle func() error) error {
	p := w.plan.jobs[i]
	return w.log.call(ctx, opHandler, name("job", i), func(*Span) error {
		if lastcall.Draining(ctx) == nil && p.Kind != held {
			w.log.blame("the context of job %d does not know of the shutdown", i)
		}
		if p.Kind == shuts {
			w.ask("shutdown", 0)
		}
		if p.Task >= 0 {
			w.beginTask(ctx, i)
		}
		switch p.Kind {
		case gateway:
			return w.call(ctx, p.RPC)
		case trickles:
			return trickle()
		default:
			return w.pass(ctx, p.Kind, p.Takes)
		}
	})
}

// pass lets time pass.
func (w *realWorld) pass(ctx context.Context, kind string, takes time.Duration) error {
	ended := ctx.Done()
	switch kind {
	case stuck:
		ended = w.release
	case endless:
		<-ended
		return errEnded
	case drained:
		select {
		case <-lastcall.Draining(ctx):
		case <-ended:
			return errEnded
		}
	}
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ended:
		return errEnded
	}
}

// beginTask begins a task that may outlive the handler. One that is refused is a span that
// has failed at once.
func (w *realWorld) beginTask(ctx context.Context, i int) {
	p := w.plan.jobs[i]
	kind := obeying
	if p.Tough {
		kind = stuck
	}
	err := w.tasks.Go(ctx, "task", func(ctx context.Context) {
		_ = w.log.call(ctx, opTask, name("job", i), func(*Span) error { return w.pass(ctx, kind, p.Task) })
	})
	if err != nil {
		_ = w.log.call(ctx, opTask, name("job", i), func(*Span) error { return err })
	}
}

// UnaryCall is the handler of the RPCs that are no streams.
func (w *realWorld) UnaryCall(ctx context.Context, req *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{}, w.handle(ctx, int(req.ResponseSize), nil)
}

// StreamingOutputCall is the handler of streams.
func (w *realWorld) StreamingOutputCall(req *testgrpc.StreamingOutputCallRequest, stream testgrpc.TestService_StreamingOutputCallServer) error {
	return w.handle(stream.Context(), int(req.ResponseParameters[0].Size), func() error {
		for range tricks {
			if err := stream.Send(&testgrpc.StreamingOutputCallResponse{Payload: &testgrpc.Payload{Body: make([]byte, 64<<10)}}); err != nil {
				return err
			}
		}
		return nil
	})
}

// tricks is how many messages a stream that trickles has. Each is as large as all that
// the transport takes in.
const tricks = 4

// serveHTTP is the handler of all requests.
func (w *realWorld) serveHTTP(rw http.ResponseWriter, r *http.Request) {
	i, _ := strconv.Atoi(r.PathValue("id"))
	switch w.plan.jobs[i].Kind {
	case hijack, held:
		w.takeOver(rw, r, i)
		return
	case drained, endless:
		_, _ = io.WriteString(rw, "event\n")
		_ = http.NewResponseController(rw).Flush()
	}
	switch err := w.handle(r.Context(), i, nil); {
	case err == nil:
		_, _ = io.WriteString(rw, "done\n")
	case w.plan.jobs[i].Kind == gateway:
		http.Error(rw, err.Error(), http.StatusBadGateway)
	} // otherwise the adapter answers
}

// takeOver is the handler of connections that are hijacked.
func (w *realWorld) takeOver(rw http.ResponseWriter, r *http.Request, i int) {
	conn, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		panic(err)
	}
	ctx := r.Context()
	serve := func() {
		defer conn.Close()
		if _, err := io.WriteString(conn, "hello\n"); err == nil {
			_ = w.handle(ctx, i, nil)
		}
	}
	if w.plan.jobs[i].Kind == hijack {
		serve()
		return
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, conn) // until it is closed
	}()
	go serve()
}

// accept is the accept loop of a protocol of lines.
func (w *realWorld) accept(lis net.Listener, watcher drain.Watcher) error {
	for {
		conn, err := lis.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		c, err := watcher.WatchConn(context.Background(), "lines", conn)
		if err != nil {
			_ = conn.Close()
			continue
		}
		go w.serveLines(c)
	}
}

func (w *realWorld) serveLines(c *drain.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for r.Buffered() > 0 || c.Idle() {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		i, _ := strconv.Atoi(strings.TrimSpace(line))
		if w.handle(c.Context(), i, nil) != nil {
			return
		}
		if _, err := io.WriteString(c, "done\n"); err != nil {
			return
		}
	}
}

// errBroken is the failure of a worker.
var errBroken = errors.New("broken")

// toil is a worker.
func (w *realWorld) toil(claim, work context.Context, p toil) error {
	if p.Kind == breaks {
		timer := time.NewTimer(p.Takes)
		defer timer.Stop()
		select {
		case <-timer.C:
			return errBroken
		case <-claim.Done():
			return nil
		}
	}
	<-claim.Done()
	_ = w.pass(work, p.Kind, p.Takes)
	return nil
}

// serveAdmin reports whether traffic should come, and takes its time if it is asked to.
func (w *realWorld) serveAdmin(rw http.ResponseWriter, r *http.Request) {
	takes, _ := time.ParseDuration(r.URL.Query().Get("takes"))
	answer := "not ready"
	if w.ctl.Ready() {
		answer = "ready"
	}
	if w.pass(r.Context(), obeying, takes) == nil {
		_, _ = io.WriteString(rw, answer)
	}
}

// Arrivals returns when work came to the servers.
func (w *realWorld) Arrivals() (all []time.Time) {
	for _, s := range w.log.freeze().spans {
		raw := s.Op == opConn && strings.HasPrefix(s.Name, rawKind)
		if heard, ok := s.Value.(time.Time); raw && ok {
			all = append(all, heard)
		}
		if raw || s.Op == opHandler && !strings.HasPrefix(w.server(s.Name), rawKind) {
			all = append(all, s.In)
		}
	}
	return all
}

// server returns the server of a job.
func (w *realWorld) server(job string) string {
	i, _ := strconv.Atoi(strings.TrimPrefix(job, "job"))
	return w.plan.servers[w.plan.jobs[i].Server].Name
}
