package httpadapter_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/internal/busy"
	"github.com/lastcall-go/lastcall/internal/tlstest"
	"github.com/lastcall-go/lastcall/report"
)

// The pieces:
//
//	n := memory() or tcp(t); n.secure(t)    where a server listens
//	l := begin(t, n, setup{...})            http.Server, adapter and controller, serving
//	c := n.client(t, h1), h2c, h2           an http.Client
//	p := n.connect(t)                       a raw connection
//	r := l.shutdown(t)                      triggers, waits, and checks what holds always

// usual is a budget without a settle: the drain begins with the trigger, and the
// timer fires 10 s after it.
func usual() lastcall.Budget {
	return lastcall.Budget{Total: 16 * time.Second, Reserve: 6 * time.Second}
}

const (
	usualTimer = 10 * time.Second
	fullCancel = time.Second // a sixth of the reserve
)

var errAsked = errors.New("asked for")

// network is a way to reach a server.
type network struct {
	net.Listener
	dial func(context.Context) (net.Conn, error) // without TLS
	tls  *tls.Config                             // the client's; nil: none
	cert *tls.Config                             // the server's

	plain bool // it is not the adapter that serves TLS
}

func tcp(t testing.TB) *network { return socket(t, "tcp", "127.0.0.1:0") }

func socket(t testing.TB, kind, address string) *network {
	t.Helper()
	lis, err := net.Listen(kind, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	return &network{Listener: lis, dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, kind, lis.Addr().String())
	}}
}

// secure adds TLS, with a certificate of its own.
func (n *network) secure(t testing.TB) *network {
	t.Helper()
	cert, roots, err := tlstest.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	n.tls = &tls.Config{RootCAs: roots, ServerName: tlstest.Name, MinVersion: tls.VersionTLS12}
	n.cert = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	return n
}

// connect returns a connection without TLS.
func (n *network) connect(t testing.TB) net.Conn {
	t.Helper()
	conn, err := n.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// speak returns a connection, with TLS if the network has that.
func (n *network) speak(t testing.TB) net.Conn {
	t.Helper()
	c := n.connect(t)
	if n.tls == nil {
		return c
	}
	secured := tls.Client(c, n.tls)
	t.Cleanup(func() { secured.Close() })
	return secured
}

// How a client speaks.
const (
	h1  = "h1"
	h2c = "h2c"
	h2  = "h2"
	h1s = "h1s"
)

// setProtocols returns what a server or a client speaks.
func setProtocols(how string) *http.Protocols {
	p := new(http.Protocols)
	switch how {
	case h1, h1s:
		p.SetHTTP1(true)
	case h2c:
		p.SetUnencryptedHTTP2(true)
	case h2:
		p.SetHTTP2(true)
	}
	return p
}

// all is what the tests' servers speak.
func all() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// transport returns what connects a client; its idle connections are closed by the
// test's end.
func (n *network) transport(t testing.TB, how string) *http.Transport {
	t.Helper()
	tr := &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return n.dial(ctx) },
		TLSClientConfig:    n.tls,
		Protocols:          setProtocols(how),
		DisableCompression: true,
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func (n *network) client(t testing.TB, how string) *client {
	return &client{Client: http.Client{Transport: n.transport(t, how)}, base: n.base()}
}

// on returns the network for a way to speak, with TLS if that is needed.
func on(t testing.TB, n *network, how string) *network {
	if how == h2 || how == h1s {
		n.secure(t)
	}
	return n
}

func (n *network) base() string {
	if n.tls != nil {
		return "https://server"
	}
	return "http://server"
}

type client struct {
	http.Client
	base string
}

// answer is what came of a request.
type answer struct {
	err    error
	status int
	header http.Header
	close  bool
	body   string
	at     time.Time
}

// do makes a request and reads the answer.
func (c *client) do(method, path string, body io.Reader) answer {
	req, err := http.NewRequestWithContext(context.Background(), method, c.base+path, body)
	if err != nil {
		return answer{err: err}
	}
	res, err := c.Do(req)
	if err != nil {
		return answer{err: err, at: time.Now()}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{err: err, status: res.StatusCode, header: res.Header, close: res.Close, body: string(b), at: time.Now()}
}

// get begins to read an answer.
func (c *client) get() (*http.Response, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, c.base, http.NoBody)
	if err != nil {
		return nil, err
	}
	return c.Do(req)
}

// start makes a request on a goroutine of its own.
func (c *client) start(method, path string, body io.Reader) <-chan answer {
	came := make(chan answer, 1)
	go func() { came <- c.do(method, path, body) }()
	return came
}

// setup is a server with adapter and controller. What is zero is usual.
type setup struct {
	handler    http.HandlerFunc
	server     *http.Server
	budget     lastcall.Budget
	adapter    []httpadapter.Option
	controller []controller.Option
	neverReady bool // begin does not wait until it serves
}

// instance is a server with adapter and controller, which runs.
type instance struct {
	*controller.Controller
	adapter *httpadapter.Server
	asked   time.Time
	last    report.Report
	took    time.Duration
	over    chan struct{}
	machine *busy.Clock
}

func begin(t testing.TB, n *network, s setup) *instance {
	t.Helper()
	srv := s.server
	if srv == nil {
		srv = &http.Server{}
	}
	if srv.Handler == nil && s.handler != nil {
		srv.Handler = s.handler
	}
	if srv.Protocols == nil {
		srv.Protocols = all()
	}
	if srv.TLSConfig == nil && n.cert != nil {
		srv.TLSConfig = n.cert
		if !n.plain {
			s.adapter = append([]httpadapter.Option{httpadapter.WithTLS("", "")}, s.adapter...)
		}
	}
	if s.budget == (lastcall.Budget{}) {
		s.budget = usual()
	}
	l := &instance{adapter: httpadapter.New(n.Listener, srv, s.adapter...), over: make(chan struct{})}
	ctl, err := controller.New(s.budget, append(s.controller, controller.WithSignals(), controller.WithServer("http", l.adapter))...)
	if err != nil {
		t.Fatal(err)
	}
	l.Controller = ctl
	l.machine = busy.Watch(t.Context().Done())
	go func() {
		defer close(l.over)
		l.last = ctl.Run(context.Background())
		l.took = time.Since(l.asked)
	}()
	t.Cleanup(func() { l.Force(); <-l.over })
	if !s.neverReady {
		<-ctl.Serving()
	}
	return l
}

// trigger asks for the shutdown.
func (l *instance) trigger() {
	l.asked = time.Now()
	l.Shutdown(errAsked)
}

// report waits for the end and checks what holds for every shutdown: the deadline and
// the sums.
func (l *instance) report(t testing.TB) report.Report {
	t.Helper()
	<-l.over
	r := l.last
	stopped, _ := l.machine.Late()
	if late := r.Ended.Sub(r.Deadline); late > stopped {
		t.Errorf("Run returned %v after the deadline, and the machine stopped for %v", late, stopped)
	}
	for _, w := range r.Work {
		if w.Kind != lastcall.WorkCall && w.Before+w.Arrived != w.Completed+w.Cancelled+w.Cut+w.Running {
			t.Errorf("%s %q does not add up: %+v", w.Kind, w.Name, w)
		}
	}
	if t.Failed() {
		t.Log(r.String())
	}
	return r
}

// shutdown is trigger and report.
func (l *instance) shutdown(t testing.TB) report.Report {
	t.Helper()
	l.trigger()
	return l.report(t)
}

// wantTook checks in virtual time how long a shutdown took.
func (l *instance) wantTook(t testing.TB, want time.Duration) {
	t.Helper()
	if l.took != want {
		t.Errorf("the shutdown took %v, want %v\n%v", l.took, want, l.last)
	}
}

// wantWithin checks in real time how long a shutdown took, but for the time in which the
// machine stopped.
func (l *instance) wantWithin(t testing.TB, want time.Duration) {
	t.Helper()
	if stopped, _ := l.machine.Late(); l.took > want+stopped {
		t.Errorf("the shutdown took %v, and the machine stopped for %v\n%v", l.took, stopped, l.last)
	}
}

// wantDrained checks that nothing was forced.
func wantDrained(t testing.TB, r report.Report) {
	t.Helper()
	if r.Outcome != report.OutcomeDrained || r.ExitCode() != 0 {
		t.Errorf("outcome %v, exit code %d\n%v", r.Outcome, r.ExitCode(), r)
	}
	if got := r.Path[len(r.Path)-1]; got != fsm.Terminated {
		t.Errorf("the path ends with %v", got)
	}
}

// work returns the work of a name.
func work(r report.Report, name string) lastcall.Work {
	for _, w := range r.Work {
		if w.Name == name {
			w.Server, w.Name, w.Oldest, w.Peer, w.Path, w.Slowest = "", "", time.Time{}, "", "", [3]lastcall.EndedWork{}
			return w
		}
	}
	return lastcall.Work{}
}

// wantWork checks the numbers of a name.
func wantWork(t testing.TB, r report.Report, name string, want lastcall.Work) {
	t.Helper()
	if got := work(r, name); got != want {
		t.Errorf("%q: %+v, want %+v\nall: %+v", name, got, want, r.Work)
	}
}

// wantOK checks that an answer came, whole.
func (a answer) wantOK(t testing.TB, body string) {
	t.Helper()
	if a.err != nil || a.status != http.StatusOK || a.body != body {
		t.Errorf("got %d, %d bytes, error %v; want 200 and %d bytes", a.status, len(a.body), a.err, len(body))
	}
}

// raw writes a request on a connection of HTTP/1.1.
func raw(t testing.TB, c net.Conn, format string, args ...any) {
	t.Helper()
	if _, err := fmt.Fprintf(c, format, args...); err != nil {
		t.Errorf("writing a request: %v", err)
	}
}

// readAnswer reads an answer of HTTP/1.1.
func readAnswer(br *bufio.Reader) answer {
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		return answer{err: err, at: time.Now()}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{err: err, status: res.StatusCode, header: res.Header, close: res.Close, body: string(b), at: time.Now()}
}

// bubble runs a test in virtual time and checks that no goroutine of ours is left.
func bubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// newTLSListener is tls.NewListener.
func newTLSListener(inner net.Listener, config *tls.Config) net.Listener {
	return tls.NewListener(inner, config)
}

// routes returns a ServeMux with one route.
func routes(pattern string, handle http.HandlerFunc) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc(pattern, handle)
	return mux
}

func leaveHijacked() []httpadapter.Option {
	return []httpadapter.Option{httpadapter.WithHijackedLeft()}
}

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

// goexit ends the goroutine.
func goexit() { runtime.Goexit() }

// declare returns the option that declares whether a network has TLS.
func declare(n *network) []httpadapter.Option {
	if n.cert == nil {
		return nil
	}
	return []httpadapter.Option{httpadapter.WithTLS("", "")}
}
