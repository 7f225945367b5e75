package httpadapter_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// untilStop is a server whose drain and Cancel last until Stop.
type untilStop struct {
	lastcall.Unimplemented
	over chan struct{}
	once sync.Once
}

func (s *untilStop) Serve() error                  { <-s.over; return nil }
func (s *untilStop) GracefulStop()                 { <-s.over }
func (s *untilStop) Cancel(context.Context, error) { <-s.over }
func (s *untilStop) Stop()                         { s.once.Do(func() { close(s.over) }) }

func (s *untilStop) Accepting() <-chan struct{} {
	now := make(chan struct{})
	close(now)
	return now
}

// G2: a request that comes between the timer and the Cancel of its server, which waits for
// that of the servers behind, is refused.
func TestG2_NothingNewAfterTheTimer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memory()
		served := false
		l := begin(t, n, setup{
			adapter:    []httpadapter.Option{httpadapter.WithHandshakeTime(time.Minute)},
			handler:    func(http.ResponseWriter, *http.Request) { served = true },
			controller: []controller.Option{controller.WithServer("behind", &untilStop{over: make(chan struct{})}, controller.After("http"))},
		})
		c, err := n.dial(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		time.Sleep(time.Second)
		l.trigger()
		time.Sleep(time.Second) // the silent connection has time until half of what is left
		l.Shorten(time.Now().Add(3*time.Second), "spot")
		time.Sleep(time.Millisecond)
		timer, _ := l.TimerAt()
		time.Sleep(time.Until(timer) + time.Millisecond)
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusServiceUnavailable || served {
			t.Errorf("status %d, served %v", res.StatusCode, served)
		}
		l.report(t)
	})
}
