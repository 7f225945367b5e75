package connset_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
)

// A connection that the listener has accepted in the instant in which Close is called is
// returned by Accept, and stays open: another process with the same socket would have
// served it. That also holds if Accept is so slow that Close tries to wake it. Close waits for
// the listener for 100 ms only, so the test has several tries.
func TestAcceptedAsClosing(t *testing.T) {
	for name, woken := range map[string]bool{"at once": false, "slow": true} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				if takenInAsClosing(t, woken) {
					return
				}
			}
			t.Error("the connection was closed each time")
		})
	}
}

func takenInAsClosing(t *testing.T, woken bool) bool {
	t.Helper()
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	came, goOn := make(chan struct{}), make(chan struct{})
	set := connset.New(lis, connset.Options{Owner: "test", Calls: new(foreign.Calls), HandshakeTime: time.Minute, Accepted: func(net.Conn) {
		close(came)
		<-goOn
	}})
	type result struct {
		conn net.Conn
		err  error
	}
	accepted := make(chan result, 1)
	go func() {
		c, err := set.Accept()
		accepted <- result{c, err}
	}()
	client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	<-came
	var successor net.Listener // of another process, with the same socket
	if woken {
		file, err := lis.(*net.TCPListener).File()
		if err != nil {
			t.Skip(err)
		}
		successor, err = net.FileListener(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		defer successor.Close()
	}
	closed := make(chan struct{})
	go func() { _ = set.Close(); close(closed) }() // always nil
	<-set.Closing()
	if woken {
		c, err := successor.Accept() // what was to wake the one above
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	close(goOn)
	got := <-accepted
	<-closed
	if got.err != nil {
		if !errors.Is(got.err, net.ErrClosed) {
			t.Error(got.err)
		}
		<-set.Finished()
		return false
	}
	if counts := set.Counts(); counts.Open != 1 || counts.Handshaking != 1 {
		t.Errorf("it is not among the connections: %+v", counts)
	}
	select {
	case <-set.Drained():
		t.Error("the set was drained before it was closed")
	default:
	}
	if _, err := io.WriteString(got.conn, "hello"); err != nil {
		t.Error(err)
	}
	_ = got.conn.Close() // the client reads what has come
	if text, err := io.ReadAll(client); err != nil || string(text) != "hello" {
		t.Errorf("the client reads %q, %v", text, err)
	}
	<-set.Finished()
	if c, err := set.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v, %v", c, err)
	}
	return true
}
