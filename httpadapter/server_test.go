package httpadapter_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
)

// A drain ends in the instant in which the last request does, for each way to speak,
// and its answer comes whole.
func TestG4_DrainEndsWithTheLastRequest(t *testing.T) {
	for _, how := range []string{h1, h2c, h2, h1s} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := on(t, memory(), how)
				big := strings.Repeat("x", 1<<20)
				l := begin(t, n, setup{handler: func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(3 * time.Second)
					_, _ = io.WriteString(w, big)
				}})
				c := n.client(t, how)
				first := c.start("GET", "/", nil)
				time.Sleep(time.Second)
				second := c.start("POST", "/", strings.NewReader("some body"))
				time.Sleep(time.Second)
				l.trigger()
				time.Sleep(time.Millisecond)
				synctest.Wait()
				if _, err := n.dial(t.Context()); err == nil {
					t.Error("a new connection was accepted")
				}
				a, b := <-first, <-second
				a.wantOK(t, big)
				b.wantOK(t, big)
				if how == h1 && (!a.close || !b.close) {
					t.Error("the answers do not have Connection: close")
				}
				r := l.report(t)
				wantDrained(t, r)
				l.wantTook(t, 2*time.Second)
				wantWork(t, r, "GET (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Completed: 1})
				wantWork(t, r, "POST (no pattern)", lastcall.Work{Kind: lastcall.WorkRequest, Before: 1, Completed: 1})
			})
		})
	}
}
