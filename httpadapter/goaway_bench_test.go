package httpadapter_test

import (
	"context"
	"flag"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/httpadapter"
)

var _ = flag.Duration("lag", 200*time.Millisecond, "after which new connections get the next server, in BenchmarkCrossedGoAway")

// BenchmarkCrossedGoAway is a rollout each time, for a client of HTTP/2 that sends 16
// requests at a time which it cannot send again, through one address. It counts requests
// lost in a rollout: as the adapter does it, and if answers in settle have "Connection:
// close", for which net/http sends its GOAWAY then.
//
//	go test ./httpadapter -run '^$' -bench CrossedGoAway -benchtime 15x -lag 200ms
func BenchmarkCrossedGoAway(b *testing.B) {
	for name, closes := range map[string]bool{"adapter": false, "close": true} {
		b.Run(name, func(b *testing.B) {
			lag, err := time.ParseDuration(flag.Lookup("lag").Value.String())
			if err != nil {
				b.Fatal(err)
			}
			var now atomic.Pointer[httpReplica]
			now.Store(startHTTP(b, closes))
			proxy := forward(b, func() string { return now.Load().addr })
			client := &http.Client{Transport: &http.Transport{Protocols: setProtocols(h2c)}}
			var all, lost atomic.Int64
			var over atomic.Bool
			var callers sync.WaitGroup
			for range 16 {
				callers.Go(func() {
					for !over.Load() {
						all.Add(1)
						if !post(client, proxy) {
							lost.Add(1)
						}
						time.Sleep(time.Millisecond)
					}
				})
			}
			for b.Loop() {
				time.Sleep(200 * time.Millisecond) // of service
				old, next := now.Load(), startHTTP(b, closes)
				time.AfterFunc(lag, func() { now.Store(next) })
				old.leaving.Store(true)
				old.ctl.Shutdown(nil)
				<-old.ctl.Done()
			}
			over.Store(true)
			callers.Wait()
			b.ReportMetric(float64(lost.Load())/float64(b.N), "lost/rollout")
			b.ReportMetric(float64(all.Load())/float64(b.N), "requests/rollout")
		})
	}
}

// post sends a request that cannot be sent again, and reports whether it was answered.
func post(client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, io.NopCloser(strings.NewReader("{}")))
	if err != nil {
		return false
	}
	answer, err := client.Do(req)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err == nil
}

type httpReplica struct {
	addr    string
	ctl     *controller.Controller
	leaving atomic.Bool
}

func startHTTP(b *testing.B, closes bool) *httpReplica {
	b.Helper()
	n := tcp(b)
	r := &httpReplica{addr: n.Addr().String()}
	handler := func(w http.ResponseWriter, req *http.Request) {
		if closes && r.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		_, _ = io.Copy(io.Discard, req.Body)
		time.Sleep(2 * time.Millisecond)
		_, _ = io.WriteString(w, "{}")
	}
	var err error
	r.ctl, err = controller.New(lastcall.Budget{Total: 20 * time.Second, Settle: 500 * time.Millisecond, Reserve: 5 * time.Second}, controller.WithSignals(),
		controller.WithServer("http", httpadapter.New(n.Listener, &http.Server{Protocols: setProtocols(h2c), Handler: http.HandlerFunc(handler)})))
	if err != nil {
		b.Fatal(err)
	}
	go r.ctl.Run(context.Background())
	b.Cleanup(func() { r.ctl.Force(); <-r.ctl.Done() })
	<-r.ctl.Serving()
	return r
}

// forward is an address whose connections go to whatever address to returns when they come.
func forward(b *testing.B, to func() string) (url string) {
	b.Helper()
	n := tcp(b)
	go func() {
		for {
			c, err := n.Accept()
			if err != nil {
				return
			}
			up, err := new(net.Dialer).DialContext(context.Background(), "tcp", to())
			if err != nil {
				c.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{c, up}, {up, c}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					pair[0].Close()
				}()
			}
		}
	}()
	return "http://" + n.Addr().String()
}
