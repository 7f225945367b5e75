package lastcall_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
)

const adminName = "admin"

// memory is a listener in memory that knows its connections.
type memory struct {
	came   chan net.Conn
	once   sync.Once
	closed chan struct{}

	mu     sync.Mutex
	conns  []*memoryConn
	served bool // Accept was called
}

func newMemory() *memory { return &memory{came: make(chan net.Conn), closed: make(chan struct{})} }

var errRefused = errors.New("connection refused")

func (m *memory) Accept() (net.Conn, error) {
	m.mu.Lock()
	m.served = true
	m.mu.Unlock()
	select {
	case c := <-m.came:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.once.Do(func() { close(m.closed) }); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

// memoryConn is the server's end of a connection.
type memoryConn struct {
	net.Conn
	over string

	lock                   sync.Mutex // guards what is below
	dialled, heard, closed time.Time  // heard: when the server first read something; closed: when it called Close
}

func (c *memoryConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.lock.Lock()
		defer c.lock.Unlock()
		if c.heard.IsZero() {
			c.heard = time.Now()
		}
	}
	return n, err
}

func (c *memoryConn) Close() error {
	c.lock.Lock()
	if c.closed.IsZero() {
		c.closed = time.Now()
	}
	c.lock.Unlock()
	return c.Conn.Close()
}

// dial connects, and returns the server's end as well.
func (m *memory) dial(ctx context.Context, over string) (net.Conn, *memoryConn, error) {
	near, far := mempipe.New(4 << 10)
	c := &memoryConn{Conn: far, over: over, dialled: time.Now()}
	var err error
	select {
	case <-m.closed: // first: who comes later is refused
		err = errRefused
	default:
		select {
		case m.came <- c:
			m.mu.Lock()
			defer m.mu.Unlock()
			m.conns = append(m.conns, c)
			return near, c, nil
		case <-m.closed:
			err = errRefused
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	_ = near.Close()
	return nil, nil, err
}

// mixResult is what a client saw of a job, and what its handler noted.
type mixResult struct {
	mixJob
	conn        *memoryConn // of overConn
	begun, back time.Time   // of the handler; zero: not yet
	cause       error       // with which its context ended, if it has looked
	done, gone  time.Time   // when the answer was there, or the error; when the connection was closed that stays
	err         error
	status      int
	closes      bool // the answer said "Connection: close"
	answer      string

	taskErr             error
	taskBegun, taskBack time.Time
	taskCause           error
}

// visited is what somebody saw who asked the admin server.
type visited struct {
	mixVisit
	who         string
	asked, done time.Time
	answer      string
	err         error
}

// mixWorld is everything around the controller: the servers, what they serve, and their
// clients.
type mixWorld struct {
	*world
	testgrpc.UnimplementedTestServiceServer
	plan    mix
	nets    []*memory // by server
	office  *memory   // the admin server's
	tasks   drain.Watcher
	rpcs    map[[2]int]*grpc.ClientConn // by server and client
	https   map[string]*http.Client     // by server and how it speaks
	ctx     context.Context             //nolint:containedctx // the clients'
	end     context.CancelFunc
	lock    sync.Mutex // guards what is below
	results []*mixResult
	toils   []mixToil
	visits  []*visited
	ready   []time.Time // when the controller was ready
}

// mixToil is what a worker noted.
type mixToil struct {
	begun, back time.Time
	failed      bool
}

func newMixWorld(m mix) *mixWorld {
	w := &mixWorld{world: newWorld(), plan: m, office: newMemory(), rpcs: map[[2]int]*grpc.ClientConn{}, https: map[string]*http.Client{}}
	for range m.servers {
		w.nets = append(w.nets, newMemory())
	}
	for _, j := range m.jobs {
		w.results = append(w.results, &mixResult{mixJob: j})
	}
	w.toils = make([]mixToil, len(m.workers))
	w.ctx, w.end = context.WithCancel(context.Background())
	return w
}

// sets changes what is noted of a job.
func (w *mixWorld) sets(i int, f func(r *mixResult)) {
	w.lock.Lock()
	defer w.lock.Unlock()
	f(w.results[i])
}

// build makes a server.
func (w *mixWorld) build(i int) (lastcall.Server, func() error) {
	s := w.plan.servers[i]
	switch s.kind {
	case grpcKind:
		g := grpcadapter.New(grpcadapter.WrapListener(w.nets[i], grpcadapter.HandshakeTime(s.shaking)))
		testgrpc.RegisterTestServiceServer(g.NewServer(grpc.WaitForHandlers(s.waits)), w)
		return g, nil
	case httpKind:
		mux := http.NewServeMux()
		mux.HandleFunc("GET /job/{id}", w.serveHTTP)
		speaks := new(http.Protocols)
		speaks.SetHTTP1(true)
		speaks.SetUnencryptedHTTP2(true)
		return httpadapter.New(w.nets[i], &http.Server{Handler: mux, Protocols: speaks}, httpadapter.WithHandshakeTime(s.shaking)), nil
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

// buildAdmin makes the server that is Last. It says whether traffic should come, and
// takes its time if it is asked to.
func (w *mixWorld) buildAdmin() lastcall.Server {
	return httpadapter.New(w.office, &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		takes, _ := time.ParseDuration(r.URL.Query().Get("takes"))
		answer := "not ready"
		if w.ctl.Ready() {
			answer = "ready"
		}
		if w.wait(r.Context(), mixJob{kind: obeying, takes: takes}) == nil {
			_, _ = io.WriteString(rw, answer)
		}
	})})
}

// act does what a job's handler does, and returns why it has not come to the end of
// that.
func (w *mixWorld) act(ctx context.Context, i int) error {
	p := w.plan.jobs[i]
	w.sets(i, func(r *mixResult) { r.begun = time.Now() })
	if p.kind == shuts {
		w.shutdown(errAsked)
	}
	if p.task >= 0 {
		w.beginTask(ctx, i)
	}
	var err error
	if p.kind == gateway {
		err = w.call(ctx, p.rpc)
	} else {
		err = w.wait(ctx, p)
	}
	w.sets(i, func(r *mixResult) { r.back, r.cause = time.Now(), context.Cause(ctx) })
	return err
}

var errEnded = errors.New("the context has ended")

// wait takes the time of a job.
func (w *mixWorld) wait(ctx context.Context, p mixJob) error {
	ended := ctx.Done()
	switch p.kind {
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
	timer := time.NewTimer(p.takes)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ended:
		return errEnded
	}
}

// beginTask begins a task that may outlive the handler.
func (w *mixWorld) beginTask(ctx context.Context, i int) {
	p := w.plan.jobs[i]
	err := w.tasks.Go(ctx, "task", func(ctx context.Context) {
		kind := obeying
		if p.tough {
			kind = stuck
		}
		w.sets(i, func(r *mixResult) { r.taskBegun = time.Now() })
		_ = w.wait(ctx, mixJob{kind: kind, takes: p.task})
		w.sets(i, func(r *mixResult) { r.taskBack, r.taskCause = time.Now(), context.Cause(ctx) })
	})
	w.sets(i, func(r *mixResult) { r.taskErr = err })
}

// UnaryCall is the handler of the RPCs that are no streams.
func (w *mixWorld) UnaryCall(ctx context.Context, req *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	return &testgrpc.SimpleResponse{}, w.act(ctx, int(req.ResponseSize))
}

// StreamingOutputCall is the handler of streams.
func (w *mixWorld) StreamingOutputCall(req *testgrpc.StreamingOutputCallRequest, stream testgrpc.TestService_StreamingOutputCallServer) error {
	return w.act(stream.Context(), int(req.ResponseParameters[0].Size))
}

// serveHTTP is the handler of all requests.
func (w *mixWorld) serveHTTP(rw http.ResponseWriter, r *http.Request) {
	i, _ := strconv.Atoi(r.PathValue("id"))
	switch w.plan.jobs[i].kind {
	case hijack, held:
		w.takeOver(rw, r, i)
		return
	case drained, endless:
		_, _ = io.WriteString(rw, "event\n")
		_ = http.NewResponseController(rw).Flush()
	}
	switch err := w.act(r.Context(), i); {
	case err == nil:
		_, _ = io.WriteString(rw, "done\n")
	case w.plan.jobs[i].kind == gateway:
		http.Error(rw, err.Error(), http.StatusBadGateway)
	} // otherwise the adapter answers
}

// takeOver is the handler of connections that are hijacked.
func (w *mixWorld) takeOver(rw http.ResponseWriter, r *http.Request, i int) {
	conn, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		panic(err)
	}
	ctx := r.Context()
	serve := func() {
		defer conn.Close()
		if _, err := io.WriteString(conn, "hello\n"); err == nil {
			_ = w.act(ctx, i)
		}
	}
	if w.plan.jobs[i].kind == hijack {
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
func (w *mixWorld) accept(lis net.Listener, watcher drain.Watcher) error {
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

func (w *mixWorld) serveLines(c *drain.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for r.Buffered() > 0 || c.Idle() {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		i, _ := strconv.Atoi(strings.TrimSpace(line))
		if w.act(c.Context(), i) != nil {
			return
		}
		if _, err := io.WriteString(c, "done\n"); err != nil {
			return
		}
	}
}

// toil is a worker.
func (w *mixWorld) toil(claim, work context.Context, i int, p mixWorker) error {
	note := func(f func(t *mixToil)) {
		w.lock.Lock()
		defer w.lock.Unlock()
		f(&w.toils[i])
	}
	note(func(t *mixToil) { t.begun = time.Now() })
	defer note(func(t *mixToil) { t.back = time.Now() })
	if p.kind == breaks {
		timer := time.NewTimer(p.takes)
		defer timer.Stop()
		select {
		case <-timer.C:
			note(func(t *mixToil) { t.failed = true })
			w.triggered(time.Now())
			return errBroken
		case <-claim.Done():
			return nil
		}
	}
	<-claim.Done()
	_ = w.wait(work, mixJob{kind: p.kind, takes: p.takes})
	return nil
}

// begin starts the clients, and somebody who looks whether the controller is ready.
func (w *mixWorld) begin() {
	for i, j := range w.plan.jobs {
		if j.over != inside {
			time.AfterFunc(j.at, func() { w.ask(i) })
		}
	}
	for i, v := range w.plan.visits {
		time.AfterFunc(v.at, func() { w.visit(v, fmt.Sprintf("visitor %d", i)) })
	}
	go func() {
		ticker := time.NewTicker(unit / 2)
		defer ticker.Stop()
		for {
			if w.ctl.Ready() {
				w.lock.Lock()
				w.ready = append(w.ready, time.Now())
				w.lock.Unlock()
			}
			select {
			case <-ticker.C:
			case <-w.ctl.Done():
				return
			}
		}
	}()
}

// close lets everything go.
func (w *mixWorld) close() {
	w.end()
	close(w.release)
	w.lock.Lock()
	defer w.lock.Unlock()
	for _, c := range w.rpcs {
		_ = c.Close()
	}
	for _, c := range w.https {
		c.CloseIdleConnections()
	}
}

// ask is what the client of a job does.
func (w *mixWorld) ask(i int) {
	if w.ctx.Err() != nil {
		return
	}
	j := w.plan.jobs[i]
	switch kind := w.plan.servers[j.server].kind; {
	case j.kind == silent || j.over == overConn:
		w.stay(i, kind)
	case kind == grpcKind:
		_ = w.call(w.ctx, i)
	default:
		w.get(i)
	}
}

// stay makes a connection, asks on it, and stays until the server closes it.
func (w *mixWorld) stay(i int, kind string) {
	j := w.plan.jobs[i]
	conn, far, err := w.nets[j.server].dial(w.ctx, overConn)
	if err != nil {
		w.sets(i, func(r *mixResult) { r.done, r.err = time.Now(), err })
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(w.ctx, func() { conn.Close() })
	defer stop()
	w.sets(i, func(r *mixResult) { r.conn = far })
	br := bufio.NewReader(conn)
	if j.kind != silent {
		request := fmt.Sprintf("%d\n", i)
		if j.slow > 0 {
			request = strings.TrimSuffix(request, "\n")
			defer time.AfterFunc(j.speaks+j.slow/2, func() { _, _ = io.WriteString(conn, " ") }).Stop()
			defer time.AfterFunc(j.speaks+j.slow, func() { _, _ = io.WriteString(conn, "\n") }).Stop()
		}
		if kind == httpKind {
			request = fmt.Sprintf("GET /job/%d HTTP/1.1\r\nHost: server\r\n\r\n", i)
		}
		defer time.AfterFunc(j.speaks, func() { _, _ = io.WriteString(conn, request) }).Stop()
		var answer string
		var status int
		var closes bool
		if kind == httpKind && j.kind != hijack && j.kind != held {
			var res *http.Response
			if res, err = http.ReadResponse(br, nil); err == nil { //nolint:bodyclose // readAll does it
				status, closes = res.StatusCode, res.Close
				answer, err = readAll(res.Body)
			}
		} else {
			answer, err = br.ReadString('\n')
		}
		w.sets(i, func(r *mixResult) {
			r.done, r.err, r.status, r.closes, r.answer = time.Now(), err, status, closes, answer
		})
	}
	_, err = io.Copy(io.Discard, br)
	w.sets(i, func(r *mixResult) {
		r.gone = time.Now()
		if r.done.IsZero() {
			r.done, r.err = r.gone, err
		}
	})
}

func readAll(r io.ReadCloser) (string, error) {
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

// get makes an HTTP request.
func (w *mixWorld) get(i int) {
	j := w.plan.jobs[i]
	req, err := http.NewRequestWithContext(w.ctx, http.MethodGet, fmt.Sprintf("http://server/job/%d", i), http.NoBody)
	if err != nil {
		panic(err)
	}
	res, err := w.httpClient(j.server, j.over).Do(req)
	var answer string
	if err == nil {
		answer, err = readAll(res.Body)
	}
	w.sets(i, func(r *mixResult) {
		r.done, r.err, r.answer = time.Now(), err, answer
		if res != nil {
			r.status, r.closes = res.StatusCode, res.Close
		}
	})
}

// httpClient returns the client of a server that speaks in a way.
func (w *mixWorld) httpClient(server int, over string) *http.Client {
	w.lock.Lock()
	defer w.lock.Unlock()
	key := fmt.Sprint(server, over)
	if w.https[key] == nil {
		speaks := new(http.Protocols)
		speaks.SetHTTP1(over == overH1)
		speaks.SetUnencryptedHTTP2(over == overH2C)
		w.https[key] = &http.Client{Transport: &http.Transport{Protocols: speaks, DisableCompression: true, MaxIdleConnsPerHost: len(w.plan.jobs),
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				near, _, err := w.nets[server].dial(ctx, over)
				return near, err
			}}}
	}
	return w.https[key]
}

// call makes an RPC.
func (w *mixWorld) call(ctx context.Context, i int) error {
	j := w.plan.jobs[i]
	client, err := w.rpcClient(j.server, j.client)
	if err != nil {
		return err
	}
	if j.kind == drained || j.kind == endless {
		var stream testgrpc.TestService_StreamingOutputCallClient
		stream, err = client.StreamingOutputCall(ctx, &testgrpc.StreamingOutputCallRequest{
			ResponseParameters: []*testgrpc.ResponseParameters{{Size: int32(i)}},
		})
		if err == nil {
			if _, err = stream.Recv(); errors.Is(err, io.EOF) {
				err = nil
			}
		}
	} else {
		_, err = client.UnaryCall(ctx, &testgrpc.SimpleRequest{ResponseSize: int32(i)})
	}
	w.sets(i, func(r *mixResult) { r.done, r.err = time.Now(), err })
	return err
}

// rpcClient returns a client of a server.
func (w *mixWorld) rpcClient(server, client int) (testgrpc.TestServiceClient, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	if w.ctx.Err() != nil { // nobody would close it
		return nil, w.ctx.Err()
	}
	key := [2]int{server, client}
	if w.rpcs[key] == nil {
		conn, err := grpc.NewClient("passthrough:///memory",
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				near, _, err := w.nets[server].dial(ctx, overGRPC)
				return near, err
			}),
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		w.rpcs[key] = conn
	}
	return testgrpc.NewTestServiceClient(w.rpcs[key]), nil
}

func (m *memory) isServed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.served
}

// visit asks the admin server, if one serves, on a connection of its own.
func (w *mixWorld) visit(v mixVisit, who string) {
	if !w.plan.admin || !w.office.isServed() {
		return
	}
	seen := &visited{mixVisit: v, who: who, asked: time.Now()}
	w.lock.Lock()
	w.visits = append(w.visits, seen)
	w.lock.Unlock()
	var answer string
	conn, _, err := w.office.dial(w.ctx, overConn)
	if err == nil {
		defer conn.Close()
		stop := context.AfterFunc(w.ctx, func() { conn.Close() })
		defer stop()
		_, err = fmt.Fprintf(conn, "GET /?takes=%s HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n", v.takes)
		var res *http.Response
		if err == nil {
			res, err = http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // readAll does it
		}
		if err == nil {
			answer, err = readAll(res.Body)
		}
	}
	w.lock.Lock()
	defer w.lock.Unlock()
	seen.done, seen.answer, seen.err = time.Now(), answer, err
}

// take returns copies of what is known now.
func (w *mixWorld) take() (results []mixResult, conns [][]*memoryConn, toils []mixToil, visits []visited, ready []time.Time) {
	w.lock.Lock()
	defer w.lock.Unlock()
	for _, r := range w.results {
		one := *r
		if r.conn != nil {
			one.conn = r.conn.copy()
		}
		results = append(results, one)
	}
	for _, n := range w.nets {
		n.mu.Lock()
		var own []*memoryConn
		for _, c := range n.conns {
			own = append(own, c.copy())
		}
		n.mu.Unlock()
		conns = append(conns, own)
	}
	for _, v := range w.visits {
		visits = append(visits, *v)
	}
	return results, conns, slices.Clone(w.toils), visits, slices.Clone(w.ready)
}

// copy returns what is known of the connection.
func (c *memoryConn) copy() *memoryConn {
	c.lock.Lock()
	defer c.lock.Unlock()
	return &memoryConn{over: c.over, dialled: c.dialled, heard: c.heard, closed: c.closed}
}
