package shutdowntest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// load starts the clients of the plan.
func (w *world) load() {
	total := w.plan.budget
	for i, p := range w.plan.clients {
		l := w.kit.loads[p.Load]
		c, err := w.newClient(fmt.Sprintf("%s client %d (%s)", l.name, i+1, p.Temper), l, p)
		if err != nil {
			w.seen.notes = append(w.seen.notes, err.Error())
			continue
		}
		context.AfterFunc(w.clients, c.close)
		for _, at := range p.Calls {
			w.wg.Go(func() {
				if w.sleep(w.seen.at(at, total), nil) {
					c.do(w.clients)
				}
			})
		}
		switch p.Temper {
		case deaf:
			time.AfterFunc(time.Until(w.seen.planned), func() { close(c.turned) })
		case vanishes:
			w.wg.Go(func() {
				if w.sleep(w.seen.at(p.Leaves, total), nil) {
					w.seen.do(func() { w.seen.event("%s is gone", c.name) })
					c.leave()
				}
			})
		default:
		}
	}
	for _, p := range w.plan.peers {
		w.wg.Go(func() { w.silent(p) })
	}
	if !w.plan.watch {
		return
	}
	watched := map[string]bool{}
	for _, l := range w.kit.loads {
		if l.grpc != nil && !watched[l.listener] {
			watched[l.listener] = true
			w.wg.Go(func() { w.watch(l) })
		}
	}
}

// silent is a peer that connects, says nothing or too little, and stays.
func (w *world) silent(p peer) {
	if !w.sleep(w.seen.at(p.At, w.plan.budget), nil) {
		return
	}
	conn, err := w.env.listener(p.Listener).dial(w.clients)
	if err != nil {
		return
	}
	w.seen.do(func() { w.seen.event("a peer connects to %s, and says %q and no more", p.Listener, p.Says) })
	stop := context.AfterFunc(w.clients, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, p.Says)
	_, _ = io.Copy(io.Discard, conn)
}

// watch is a client that watches grpc.health.v1, if the server has that, and leaves when
// it is told NOT_SERVING.
func (w *world) watch(l *load) {
	c, err := w.newClient("health of "+l.listener, l, clientPlan{Temper: normal})
	if err != nil {
		return
	}
	defer c.close()
	w.wg.Go(func() { w.ask(l) })
	aged := w.goAway(c.rpc)
	stream, err := healthpb.NewHealthClient(c.rpc).Watch(w.clients, &healthpb.HealthCheckRequest{})
	for err == nil {
		var got *healthpb.HealthCheckResponse
		if got, err = stream.Recv(); err == nil {
			up := got.GetStatus() == healthpb.HealthCheckResponse_SERVING
			w.heard(probed{name: l.listener, at: time.Now(), up: up})
			if !up && !w.seen.asked.IsZero() {
				return
			}
		}
	}
	if status.Code(err) != codes.Unimplemented && w.clients.Err() == nil {
		w.heard(probed{name: l.listener, at: time.Now(), over: true, aged: aged()})
	}
}

// goAway returns a function that reports whether a client's connection got a GOAWAY before the
// drain, and earlier than in this instant, as one does that is older than MaxConnectionAge:
// nothing need be told on it later.
func (w *world) goAway(cc *grpc.ClientConn) func() bool {
	var at time.Time // guarded by seen
	w.wg.Go(func() {
		for state := cc.GetState(); cc.WaitForStateChange(w.clients, state); state = cc.GetState() {
			w.seen.do(func() {
				if state == connectivity.Ready && w.seen.drained.IsZero() && at.IsZero() {
					at = time.Now()
				}
			})
		}
	})
	return func() (aged bool) {
		w.seen.do(func() { aged = !at.IsZero() && at.Before(time.Now()) })
		return aged
	}
}

func (w *world) heard(p probed) {
	s := w.seen
	s.do(func() {
		s.health = append(s.health, p)
		s.event("health of %s: up %v, the stream is over %v", p.name, p.up, p.over)
	})
}

// ask asks grpc.health.v1 again and again, as Kubernetes does.
func (w *world) ask(l *load) {
	c, err := w.newClient("probe of "+l.listener, l, clientPlan{Temper: normal})
	if err != nil {
		return
	}
	defer c.close()
	w.poll("grpc.health.v1 of "+l.listener, func() bool {
		got, err := healthpb.NewHealthClient(c.rpc).Check(w.clients, &healthpb.HealthCheckRequest{})
		return err == nil && got.GetStatus() == healthpb.HealthCheckResponse_SERVING
	})
}

// probing is how often a probe asks, from the trigger on. Before that it asks a few times.
const (
	probing    = 100 * time.Millisecond
	probedCalm = 20
)

// poll asks a probe until it is down in the drain, or the check is over.
func (w *world) poll(name string, ask func() bool) {
	for last, first := false, true; w.clients.Err() == nil; first = false {
		at, down := time.Now(), w.ctl != nil && !w.ctl.ProbesReady()
		up := ask()
		w.seen.do(func() {
			w.seen.probes = append(w.seen.probes, probed{name: name, at: at, up: up, down: down})
			if up != last || first {
				w.seen.event("%s: up %v", name, up)
			}
		})
		last = up
		pause, enough := probing, false
		w.seen.do(func() {
			enough = !up && !w.seen.drained.IsZero()
			if w.seen.asked.IsZero() {
				pause = min(max(probing, w.seen.calm/probedCalm), max(probing, time.Until(w.seen.planned)))
			}
		})
		if enough || !w.sleep(at.Add(pause), w.over) {
			return
		}
	}
}

// probe asks a path for readiness, on connections of its own.
func (w *world) probe(l *load) {
	dial := w.env.Dialer(l.listener)
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return dial(ctx, addr) }}}
	w.poll(l.name, func() bool {
		req, err := http.NewRequestWithContext(w.clients, http.MethodGet, "http://"+own+l.probe, http.NoBody)
		if err != nil {
			return false
		}
		res, err := web.Do(req)
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode < http.StatusMultipleChoices
	})
}
