package proptest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

// answer is what a client heard: the value of its span.
type answer struct {
	err    error
	status int
	body   string
	closes bool // the answer said "Connection: close"
}

func (a answer) String() string {
	return fmt.Sprintf("%d %q, close %v, %v", a.status, a.body, a.closes, a.err)
}

// Begin starts the clients, and those who ask for a shutdown.
func (w *realWorld) Begin(ctl *Controller) context.Context {
	ctx := w.begin(ctl, w.plan.asks)
	for i, j := range w.plan.jobs {
		if j.Over != inside {
			time.AfterFunc(j.At, func() { w.request(i) })
		}
	}
	for i, v := range w.plan.visits {
		time.AfterFunc(v.At, func() { w.visit(v, name("visitor", i)) })
	}
	return ctx
}

// End lets everything go, and waits until it has gone.
func (w *realWorld) End() {
	w.actor.End()
	w.leave()
	w.mu.Lock()
	for _, c := range w.rpcs {
		_ = c.Close()
	}
	for _, c := range w.https {
		c.CloseIdleConnections()
	}
	w.mu.Unlock()
	time.Sleep(10*w.plan.budget.Total + 50*unit) // clients may have been about to ask
}

// client makes what a client does a span.
func (w *realWorld) client(who string, f func() answer) (a answer) {
	_ = w.log.call(context.Background(), opClient, who, func(s *Span) error {
		a = f()
		w.log.do(func() { s.Value, s.Text = a, a.String() })
		return nil
	})
	return a
}

// request is what the client of a job does.
func (w *realWorld) request(i int) {
	if w.ctx.Err() != nil {
		return
	}
	switch j := w.plan.jobs[i]; {
	case j.Over == overConn:
		w.stay(i)
	case j.Kind == watches:
		w.watch(i)
	case j.Over == overGRPC:
		_ = w.call(w.ctx, i)
	default:
		w.get(i)
	}
}

// stay makes a connection, asks on it, and stays until the server closes it. The client's
// span begins when it asks.
func (w *realWorld) stay(i int) {
	j, kind := w.plan.jobs[i], w.plan.servers[w.plan.jobs[i].Server].Kind
	conn, err := w.nets[j.Server].dial(w.ctx, name("job", i))
	if err != nil {
		w.client(name("job", i), func() answer { return answer{err: err} })
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(w.ctx, func() { conn.Close() })
	defer stop()
	br := bufio.NewReader(conn)
	if j.Kind != silent {
		go func() {
			time.Sleep(j.Speaks)
			switch {
			case kind == httpKind:
				_, _ = fmt.Fprintf(conn, "GET /job/%d HTTP/1.1\r\nHost: server\r\n\r\n", i)
			case j.Slow > 0:
				_, _ = fmt.Fprint(conn, i)
				time.Sleep(j.Slow / 2)
				_, _ = fmt.Fprint(conn, " ")
				time.Sleep(j.Slow - j.Slow/2)
				_, _ = fmt.Fprint(conn, "\n")
			default:
				_, _ = fmt.Fprintf(conn, "%d\n", i)
			}
		}()
		w.client(name("job", i), func() (a answer) {
			line := kind != httpKind
			if j.Kind == hijack || j.Kind == held {
				begins, _ := br.Peek(len("HTTP/"))
				line = string(begins) != "HTTP/" // or it was refused
			}
			if line {
				a.body, a.err = br.ReadString('\n')
				return a
			}
			res, err := http.ReadResponse(br, nil)
			return heard(res, err)
		})
	}
	_, _ = io.Copy(io.Discard, br)
}

// heard reads an answer to its end.
func heard(res *http.Response, err error) answer {
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{err, res.StatusCode, string(body), res.Close}
}

// get makes an HTTP request.
func (w *realWorld) get(i int) {
	w.client(name("job", i), func() answer {
		req, err := http.NewRequestWithContext(w.ctx, http.MethodGet, fmt.Sprintf("http://server/job/%d", i), http.NoBody)
		if err != nil {
			panic(err)
		}
		j := w.plan.jobs[i]
		return heard(w.httpClient(j.Server, j.Over).Do(req))
	})
}

// httpClient returns the client of a server that speaks in a way.
func (w *realWorld) httpClient(server int, over string) *http.Client {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := fmt.Sprint(server, over)
	if w.https[key] == nil {
		speaks := new(http.Protocols)
		speaks.SetHTTP1(over == overH1)
		speaks.SetUnencryptedHTTP2(over == overH2C)
		w.https[key] = &http.Client{Transport: &http.Transport{
			Protocols: speaks, DisableCompression: true, MaxIdleConnsPerHost: len(w.plan.jobs),
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return w.nets[server].dial(ctx, over) },
		}}
	}
	return w.https[key]
}

// call makes an RPC.
func (w *realWorld) call(ctx context.Context, i int) error {
	j := w.plan.jobs[i]
	return w.client(name("job", i), func() answer {
		conn, err := w.rpcClient(j.Server, j.Client)
		if err != nil {
			return answer{err: err}
		}
		client := testgrpc.NewTestServiceClient(conn)
		if j.Kind != drained && j.Kind != endless && j.Kind != trickles {
			_, err := client.UnaryCall(ctx, &testgrpc.SimpleRequest{ResponseSize: int32(i)})
			return answer{err: err}
		}
		stream, err := client.StreamingOutputCall(ctx, &testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{Size: int32(i)}}})
		for err == nil {
			if j.Kind == trickles {
				time.Sleep(j.Takes / tricks)
			}
			_, err = stream.Recv()
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return answer{err: err}
	}).err
}

// watch asks for health, and does not leave when it is told NOT_SERVING.
func (w *realWorld) watch(i int) {
	w.client(name("job", i), func() (a answer) {
		j := w.plan.jobs[i]
		conn, err := w.rpcClient(j.Server, 100+i) // of its own
		if err != nil {
			return answer{err: err}
		}
		stream, err := healthpb.NewHealthClient(conn).Watch(w.ctx, &healthpb.HealthCheckRequest{})
		for err == nil {
			var r *healthpb.HealthCheckResponse
			if r, err = stream.Recv(); err == nil {
				a.body = r.Status.String()
			}
		}
		a.err = err
		return a
	})
}

// rpcClient returns a connection of a client to a server.
func (w *realWorld) rpcClient(server, client int) (*grpc.ClientConn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil { // it would never be closed
		return nil, w.ctx.Err()
	}
	key := [2]int{server, client}
	if w.rpcs[key] == nil {
		conn, err := grpc.NewClient("passthrough:///memory",
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return w.nets[server].dial(ctx, overGRPC) }),
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		w.rpcs[key] = conn
	}
	return w.rpcs[key], nil
}

// visit asks the admin server, if one serves, on a connection of its own.
func (w *realWorld) visit(v visit, who string) {
	select {
	case <-w.office.served:
	default:
		return
	}
	w.client(who, func() answer {
		conn, err := w.office.dial(w.ctx, overConn)
		if err != nil {
			return answer{err: err}
		}
		defer conn.Close()
		stop := context.AfterFunc(w.ctx, func() { conn.Close() })
		defer stop()
		if _, err := fmt.Fprintf(conn, "GET /?takes=%s HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n", v.Takes); err != nil {
			return answer{err: err}
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		return heard(res, err)
	})
}

// isVisit reports whether a client is one of the admin server's.
func isVisit(s *Span) bool { return !strings.HasPrefix(s.Name, "job") }
