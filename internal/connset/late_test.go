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
// served it. Close waits for the listener for 10 ms only, so the test has several
// tries.
func TestAcceptedAsClosing(t *testing.T) {
	for range 20 {
		if takenInAsClosing(t) {
			return
		}
	}
	t.Error("the connection was closed each time")
}

func takenInAsClosing(t *testing.T) bool {
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
	closed := make(chan struct{})
	go func() { _ = set.Close(); close(closed) }() // always nil
	<-set.Closing()
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
