package admin_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/httpadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
	"github.com/lastcall-go/lastcall/report"
)

// pod is a process with a service and probes, as a cluster sees it.
type pod struct {
	ctl      *controller.Controller
	service  *mempipe.Listener
	admin    *mempipe.Listener
	signals  chan os.Signal
	report   chan report.Report
	failures int // of its probe, in a row

	mu          sync.Mutex
	serving     bool // its probe passes
	terminating bool // it was deleted
}

func startPod(t *testing.T, opts ...controller.Option) *pod {
	t.Helper()
	p := &pod{
		service: mempipe.Listen(1 << 16), admin: mempipe.Listen(1 << 16),
		signals: make(chan os.Signal, 1), report: make(chan report.Report, 1),
	}
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	var err error
	p.ctl, err = controller.New(lastcall.Budget{Total: 20 * time.Second, Settle: 8 * time.Second, Reserve: 5 * time.Second},
		append(opts,
			controller.WithSignalChannel(p.signals),
			controller.WithServer("http", httpadapter.New(p.service, &http.Server{Handler: ok, ReadHeaderTimeout: time.Second})),
			controller.WithServer("admin", admin.New(p.admin)))...)
	if err != nil {
		t.Fatal(err)
	}
	go func() { p.report <- p.ctl.Run(t.Context()) }()
	<-p.ctl.Serving()
	p.serving = true
	return p
}

// answers reports whether a request on a fresh connection is answered 200.
func answers(lis *mempipe.Listener, path string) bool {
	c, err := lis.Dial()
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n"); err != nil {
		return false
	}
	answer, err := io.ReadAll(c)
	return (err == nil || errors.Is(err, net.ErrClosed)) && strings.HasPrefix(string(answer), "HTTP/1.1 200")
}

// probe is kubelet's: it sends one request.
func (p *pod) probe(threshold int) {
	passes := answers(p.admin, "/readyz")
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failures++; passes {
		p.failures = 0
	}
	p.serving = passes || p.serving && p.failures < threshold
}

// endpoints are those to which kube-proxy sends connections: the ready ones; or if there is
// none, those that are terminating and serve.
func endpoints(pods []*pod) (use []*pod) {
	for _, terminating := range []bool{false, true} {
		for _, p := range pods {
			p.mu.Lock()
			if p.serving && p.terminating == terminating {
				use = append(use, p)
			}
			p.mu.Unlock()
		}
		if len(use) > 0 {
			return use
		}
	}
	return nil
}

// TestReadinessPolicy: how many of the fresh connections that come each 50 ms through
// kube-proxy are lost when pods leave, with readiness that fails at once and with one that
// lasts until the drain. Those that are deleted have a successor that is ready after 6 s.
func TestReadinessPolicy(t *testing.T) {
	for name, tt := range map[string]struct {
		replicas, leaving    int
		bySignal             bool
		byDefault, withReady map[int]int // how many are lost, for each failureThreshold
	}{
		"one replica is deleted":      {1, 1, true, map[int]int{1: 109, 3: 69}, map[int]int{1: 0, 3: 0}},
		"all three replicas are":      {3, 3, true, map[int]int{1: 109, 3: 69}, map[int]int{1: 0, 3: 0}},
		"one of three is deleted":     {3, 1, true, map[int]int{1: 0, 3: 0}, map[int]int{1: 0, 3: 0}},
		"one of three ends by itself": {3, 1, false, map[int]int{1: 0, 3: 0}, map[int]int{1: 0, 3: 0}},
		"the only one ends by itself": {1, 1, false, map[int]int{1: 189, 3: 149}, map[int]int{1: 189, 3: 149}},
	} {
		for threshold := range tt.byDefault {
			for policy, opts := range map[string][]controller.Option{"default": nil, "until drain": {controller.WithReadyUntilDrain()}} {
				want := tt.byDefault[threshold]
				if opts != nil {
					want = tt.withReady[threshold]
				}
				synctest.Test(t, func(t *testing.T) {
					if lost := rollout(t, threshold, tt.replicas, tt.leaving, tt.bySignal, opts); lost != want {
						t.Errorf("%s, failureThreshold %d, %s: %d connections lost, want %d", name, threshold, policy, lost, want)
					}
				})
			}
		}
	}
}

// rollout has pods leave, and returns how many of the 200 connections that come in the ten
// seconds after that are lost.
func rollout(t *testing.T, threshold, replicas, leaving int, bySignal bool, opts []controller.Option) (lost int) {
	t.Helper()
	var pods []*pod
	for range replicas {
		pods = append(pods, startPod(t, opts...))
	}
	begun := time.Now()
	for i, p := range pods[:leaving] {
		if !bySignal {
			p.ctl.Fail(errors.New("the disk is full"))
			continue
		}
		p.terminating = true
		p.signals <- syscall.SIGTERM
		synctest.Wait()
		if p.ctl.Ready() {
			t.Errorf("pod %d is ready after the trigger", i)
		}
	}
	time.Sleep(25 * time.Millisecond) // kubelet and clients do not come in the same instant
	for i := range 200 {
		if bySignal && time.Since(begun) > 6*time.Second && len(pods) == replicas {
			for range leaving {
				pods = append(pods, startPod(t, opts...))
			}
		}
		if use := endpoints(pods); len(use) == 0 || !answers(use[i%len(use)].service, "/") {
			lost++
		}
		if i%20 == 10 {
			for _, p := range pods {
				p.probe(threshold)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, p := range pods {
		p.ctl.Shutdown(nil)
	}
	for i, p := range pods {
		r := <-p.report
		if failed := !bySignal && i < leaving; (r.ExitCode() != report.ExitOK) != failed {
			t.Error(r)
		}
	}
	return lost
}
