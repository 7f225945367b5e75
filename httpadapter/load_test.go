package httpadapter_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// load is clients that make one request after the other until they are refused.
type load struct {
	entered, left sync.Map // the ids of the requests whose handlers have begun
	answers       sync.Map // the ids of those whose answers came whole
	refused       atomic.Int64
	clients       sync.WaitGroup
	end           atomic.Bool
}

// handler answers with as many bytes as the request says, after a time.
func (l *load) handler(work func(id int)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(r.URL.Query().Get("id"))
		size, _ := strconv.Atoi(r.URL.Query().Get("size"))
		l.entered.Store(id, true)
		_, _ = io.Copy(io.Discard, r.Body)
		work(id)
		_, _ = w.Write(bytes.Repeat([]byte{'x'}, size))
		l.left.Store(id, true)
	}
}

// run starts n clients, each with requests of its own until one fails.
func (l *load) run(t testing.TB, n int, network *network, how string) {
	var ids atomic.Int64
	tr := network.transport(t, how)
	tr.MaxIdleConnsPerHost = n
	for i := range n {
		l.clients.Go(func() {
			c := &client{Client: http.Client{Transport: tr}, base: network.base()}
			for !l.end.Load() {
				id := int(ids.Add(1))
				size := []int{0, 1, 500, 4088, 4096, 20000, 300000}[id%7]
				method, body := "GET", io.Reader(nil)
				if i%2 == 0 {
					method, body = "POST", io.MultiReader(bytes.NewReader(make([]byte, 3000))) // nobody can send it again
				}
				a := c.do(method, fmt.Sprintf("/?id=%d&size=%d", id, size), body)
				if a.err != nil {
					l.refused.Add(1)
					if _, came := l.entered.Load(id); came {
						t.Logf("%s %d of %d bytes: %d, %d bytes, %v", method, id, size, a.status, len(a.body), a.err)
					}
					return
				}
				if a.status == 200 && len(a.body) == size {
					l.answers.Store(id, true)
				}
			}
		})
	}
}

// lost returns the requests that have come to a handler and were not answered.
func (l *load) lost() (lost []int, served int) {
	l.entered.Range(func(id, _ any) bool {
		served++
		if _, ok := l.answers.Load(id); !ok {
			lost = append(lost, id.(int))
		}
		return true
	})
	return lost, served
}

// Over real connections, with busy clients: whatever has come to a handler is answered
// whole, however the client speaks. LASTCALL_RUNS=150 makes 600 shutdowns of each sort.
func TestNoAnswerIsLost(t *testing.T) {
	runs := map[time.Duration]int{0: 10, time.Second: 1}
	if n, err := strconv.Atoi(os.Getenv("LASTCALL_RUNS")); err == nil {
		runs = map[time.Duration]int{0: n, time.Second: n}
	}
	for _, settle := range []time.Duration{0, time.Second} {
		for _, how := range []string{h1, h2c, h2, h1s} {
			t.Run(fmt.Sprintf("%s settle %v", how, settle), func(t *testing.T) {
				if settle > 0 {
					t.Parallel() // it is idle for the most part
				}
				served, refused := 0, 0
				for range runs[settle] {
					s, r := loseNone(t, how, settle)
					served, refused = served+s, refused+r
				}
				t.Logf("%d requests in %d shutdowns, %d clients were refused", served, runs[settle], refused)
			})
		}
	}
}

// loseNone shuts down a busy server.
func loseNone(t *testing.T, how string, settle time.Duration) (served, refused int) {
	t.Helper()
	var l load
	n := on(t, tcp(t), how)
	lc := begin(t, n, setup{
		handler: l.handler(func(id int) { time.Sleep(time.Duration(id%5) * time.Millisecond) }),
		budget:  lastcall.Budget{Total: 20 * time.Second, Settle: settle, Reserve: 5 * time.Second},
	})
	l.run(t, 16, n, how)
	time.Sleep(30 * time.Millisecond) // they are busy
	r := lc.shutdown(t)
	wantDrained(t, r)
	l.end.Store(true)
	l.clients.Wait()
	lost, served := l.lost()
	if len(lost) > 0 {
		t.Errorf("%d of %d requests that came to a handler were not answered: %v", len(lost), served, lost)
	}
	lc.wantWithin(t, settle+5*time.Second)
	return served, int(l.refused.Load())
}

// tail measures from the last request's end to the end of the drain.
func tail(t testing.TB, how string, drain time.Duration, ours bool) time.Duration {
	var l load
	var busy atomic.Bool
	over := make(chan struct{})
	var last atomic.Int64
	handler := l.handler(func(id int) {
		if busy.Load() {
			select {
			case <-over:
			case <-time.After(drain):
			}
		}
	})
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler(w, r)
		last.Store(time.Now().UnixNano())
	})
	n := on(t, tcp(t), how)
	var stop func() time.Time
	if ours {
		lc := begin(t, n, setup{handler: counted, budget: lastcall.Budget{Total: 40 * time.Second, Reserve: 5 * time.Second}})
		stop = func() time.Time {
			r := lc.shutdown(t)
			for _, s := range r.Steps {
				if s.Op == report.OpGracefulStop {
					return s.Start.Add(s.Duration)
				}
			}
			t.Fatal("no GracefulStop")
			return time.Time{}
		}
	} else {
		srv := &http.Server{Handler: counted, Protocols: all(), TLSConfig: n.cert}
		go func() {
			if n.tls != nil {
				_ = srv.ServeTLS(n.Listener, "", "")
				return
			}
			_ = srv.Serve(n.Listener)
		}()
		stop = func() time.Time {
			if err := srv.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			return time.Now()
		}
	}
	l.run(t, 8, n, how)
	time.Sleep(100 * time.Millisecond)
	busy.Store(true) // the requests of now last as long as the drain
	time.Sleep(20 * time.Millisecond)
	end := stop()
	l.end.Store(true)
	l.clients.Wait()
	return end.Sub(time.Unix(0, last.Load()))
}
