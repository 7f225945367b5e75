package shutdowntest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// Ended returns nil for io.EOF, with which Recv ends when the server has ended a stream
// well, and other errors as they are.
func Ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// load is a kind of call.
type load struct {
	name, listener string
	grpc           func(context.Context, *grpc.ClientConn) error
	http           func(context.Context, *http.Client) error
	raw            func(context.Context, net.Conn) error
	probe          string

	calm  []*call         // undisturbed: nothing else happened
	took  lengths         // of the calls that succeeded before a trigger, in any check
	empty bool            // one of those had an answer without a byte
	fails map[string]bool // outcomes of those that did not succeed
}

// call is one call of a client.
type call struct {
	load         *load
	client       *client
	name         string
	begun, ended time.Time
	over         bool
	calm         bool // nothing else happened
	crowded      bool // but others like it
	err          error
	heard        heard
}

// heard is what came over the wire for a call.
type heard struct {
	lengths [2]int // messages and bytes
	status  int    // the last one of HTTP
	broken  error  // the answer broke off
	body    string // the beginning of an answer with the status of an error
	rpc     error  // how the last RPC failed
	good    bool   // some answer was not an error
	made    bool   // there was an RPC or a request
}

// mostBody is how much of the body of an error is shown.
const mostBody = 100

// answer returns the status and the beginning of the body, or how the RPC ended.
func (h heard) answer() string {
	switch {
	case h.rpc != nil:
		return h.rpc.Error()
	case h.status == 0:
		return "no answer"
	}
	text := strings.TrimSpace(fmt.Sprintf("%d %s", h.status, http.StatusText(h.status)))
	if line, _, _ := strings.Cut(strings.TrimSpace(h.body), "\n"); line != "" {
		text += fmt.Sprintf(" (%q)", line)
	}
	return text
}

// why returns what is known of a call that failed: the status of its answer, which RPCs do
// not have, and its errors.
func (c *call) why() error {
	err := c.err
	if err == nil || c.heard.broken != nil && !errors.Is(err, c.heard.broken) {
		err = errors.Join(err, c.heard.broken)
	}
	switch {
	case c.heard.status == 0:
		return err
	case err == nil:
		return fmt.Errorf("status %s", c.heard.answer())
	default:
		return fmt.Errorf("status %s, %w", c.heard.answer(), err)
	}
}

// ok reports whether a call succeeded.
func (c *call) ok() bool { return c.over && c.err == nil && c.heard.broken == nil && !c.failed() }

// failed reports whether the status is that of an error, and is not so in calm.
func (c *call) failed() bool {
	return c.heard.status >= http.StatusBadRequest && (len(c.load.calm) == 0 || c.load.calm[0].heard.status != c.heard.status)
}

// dishonest returns what is wrong with the way in which a call failed, or "".
func (c *call) dishonest() string {
	switch {
	case !c.over || c.usual():
		return ""
	case c.ok():
		if !c.whole() {
			a, b := c.heard.lengths, c.load.calm[0].heard.lengths
			return fmt.Sprintf("it ended as a success with %d messages and %d bytes, and in calm there are %d and %d", a[0], a[1], b[0], b[1])
		}
		return ""
	case c.load.grpc != nil:
		if c.load.endless() && errors.Is(c.err, io.EOF) {
			return ""
		}
		if _, known := status.FromError(c.err); !known {
			return fmt.Sprintf("it failed, with an error of the load itself: %v", c.err)
		}
		if !retried(c.err) {
			return fmt.Sprintf("it ended with %v, which clients do not retry: %v", status.Code(c.err), c.err)
		}
	case c.load.http != nil:
		switch {
		case c.heard.broken != nil || c.heard.status == http.StatusServiceUnavailable || c.load.endless() || retried(c.err):
		case c.failed():
			return fmt.Sprintf("it was answered with %s, which clients do not retry", c.heard.answer())
		case c.heard.status != 0:
			return fmt.Sprintf("its answer was %s, whole, and an error to its load: %v\n(if clients retry that, the load returns it as a status of gRPC, Unavailable)", c.heard.answer(), c.err)
		}
	}
	return ""
}

// retried reports whether clients retry a call that ended like this.
func retried(err error) bool {
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.DeadlineExceeded
}

// client makes the calls of one plan, on connections of its own.
type client struct {
	clientPlan
	name   string
	load   *load
	lis    *listener
	seen   *seen
	addrs  []string      // of its connections; guarded by seen
	turned chan struct{} // closed when a deaf client stops to read

	mu    sync.Mutex
	conns []*clientConn
	rpc   *grpc.ClientConn
	web   *http.Transport
}

func (w *world) newClient(name string, l *load, p clientPlan) (*client, error) {
	lis := w.env.listener(l.listener)
	c := &client{clientPlan: p, name: name, load: l, lis: lis, seen: w.seen, turned: make(chan struct{})}
	secret := w.kit.tls[l.listener].Clone() // net/http changes it
	dial := func(ctx context.Context) (net.Conn, error) { return c.dial(ctx, lis) }
	switch {
	case l.grpc != nil:
		creds := insecure.NewCredentials()
		if secret != nil {
			creds = credentials.NewTLS(secret)
		}
		var err error
		c.rpc, err = grpc.NewClient("passthrough:///"+l.listener,
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }),
			grpc.WithTransportCredentials(creds), grpc.WithStatsHandler(counter{}), grpc.WithNoProxy())
		return c, err
	case l.http != nil:
		c.web = &http.Transport{
			TLSClientConfig: secret, ForceAttemptHTTP2: secret != nil,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		}
	}
	return c, nil
}

// do makes one call, and blocks until it is over.
func (c *client) do(ctx context.Context) *call {
	one := &call{load: c.load, client: c, begun: time.Now()}
	c.seen.do(func() {
		one.name = fmt.Sprintf("%s, call %d", c.name, len(c.seen.calls)+1)
		c.seen.calls = append(c.seen.calls, one)
		c.seen.event("%s begins", one.name)
	})
	h := &heardBy{}
	err := c.once(context.WithValue(ctx, heardKey{}, h))
	c.seen.do(func() {
		if ctx.Err() != nil {
			return // the check is over
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		one.ended, one.over, one.err, one.heard = time.Now(), true, err, h.heard
		text := "succeeds"
		if !one.ok() {
			text = fmt.Sprintf("fails: %v", one.why())
		}
		c.seen.event("%s %s", one.name, text)
	})
	return one
}

func (c *client) once(ctx context.Context) error {
	switch {
	case c.rpc != nil:
		return c.load.grpc(ctx, c.rpc)
	case c.web != nil:
		return c.load.http(ctx, &http.Client{Transport: counting{c.web, ctx}})
	}
	conn, err := c.dial(ctx, c.lis)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	return c.load.raw(ctx, countedConn{conn, ctx})
}

// countedConn counts the bytes that a raw client reads.
type countedConn struct {
	net.Conn
	ctx context.Context //nolint:containedctx // it is the call's
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	hear(c.ctx, func(h *heard) { h.lengths[1] += n })
	return n, err
}

// close ends a client for good.
func (c *client) close() {
	if c.rpc != nil {
		_ = c.rpc.Close()
	}
	if c.web != nil {
		c.web.CloseIdleConnections()
	}
	c.leave()
}

// heardBy collects what a call hears.
type heardBy struct {
	mu    sync.Mutex
	heard heard
}

type heardKey struct{}

// hear changes what the call of a context has heard.
func hear(ctx context.Context, f func(h *heard)) {
	if h, ok := ctx.Value(heardKey{}).(*heardBy); ok {
		h.mu.Lock()
		defer h.mu.Unlock()
		f(&h.heard)
	}
}

// counter counts the messages of RPCs.
type counter struct{}

func (counter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (counter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (counter) HandleConn(context.Context, stats.ConnStats)                       {}
func (counter) HandleRPC(ctx context.Context, s stats.RPCStats) {
	hear(ctx, func(h *heard) {
		h.made = true
		switch s := s.(type) {
		case *stats.InPayload:
			h.good, h.lengths[0], h.lengths[1] = true, h.lengths[0]+1, h.lengths[1]+s.Length
		case *stats.End:
			h.rpc, h.good = s.Error, h.good || s.Error == nil
		}
	})
}

// counting counts the bytes of answers. Requests end with the call, also if its load has
// given them another context, as Get of http.Client does.
type counting struct {
	*http.Transport
	call context.Context //nolint:containedctx // it is the call's, as that of countedBody
}

func (t counting) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	context.AfterFunc(t.call, cancel)
	res, err := t.Transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel()
		hear(t.call, func(h *heard) { h.broken = err })
		return nil, err
	}
	hear(t.call, func(h *heard) {
		h.status, h.broken, h.body, h.made = res.StatusCode, nil, "", true
		h.good = h.good || res.StatusCode < http.StatusBadRequest
		h.lengths[0]++
	})
	body := countedBody{res.Body, t.call}
	if res.Body = body; res.StatusCode == http.StatusSwitchingProtocols {
		if w, ok := body.ReadCloser.(io.Writer); ok { // as clients of WebSockets expect
			res.Body = struct {
				countedBody
				io.Writer
			}{body, w}
		}
	}
	return res, nil
}

type countedBody struct {
	io.ReadCloser
	call context.Context //nolint:containedctx // see counting
}

func (b countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	hear(b.call, func(h *heard) {
		h.lengths[1] += n
		if h.status >= http.StatusBadRequest {
			h.body += string(p[:min(n, max(0, mostBody-len(h.body)))])
		}
		if err != nil && !errors.Is(err, io.EOF) {
			h.broken = err
		}
	})
	return n, err
}
