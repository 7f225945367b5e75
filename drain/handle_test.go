package drain

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/internal/connset"
)

// Work ends without the group's mutex, for which 100,000 tasks would queue that end in the
// same instant, and whoever needs it would stand behind them.
func TestDoneNeedsNoMutex(t *testing.T) {
	g := New()
	h, err := g.Watcher().Watch(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	g.mu.Lock()
	defer g.mu.Unlock()
	go func() {
		defer close(ended)
		h.Done()
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("Done waits for the group's mutex")
	}
}

// A peer that may still be sending has its time, also if Close is called twice. When that is
// over, and the drain with it, the connection is closed.
func TestSecondCloseLetsLinger(t *testing.T) {
	lis, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	peer, err := new(net.Dialer).DialContext(t.Context(), "tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	inside, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	g := New()
	c, err := g.Watcher().WatchConn(t.Context(), "c", inside)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Write(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	g.close()
	began := time.Now()
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if closing := c.kept.Closing(); closing && time.Since(began) < connset.LingerTime {
		t.Error("the second Close has closed it")
	}
	g.GracefulStop()
	if err := inside.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after GracefulStop it is not closed: %v", err)
	}
}
