package controller_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
)

// datagrams is a server of UDP: it answers each datagram on a goroutine of its own.
type datagrams struct {
	lastcall.Unimplemented // phases in which it has nothing to do
	conn                   net.PacketConn
	answer                 func(ctx context.Context, request []byte) []byte
	accepting, drained     chan struct{}

	mu       sync.Mutex // never held while user code runs
	ctx      context.Context
	cancel   context.CancelCauseFunc
	draining bool
	work     sync.WaitGroup // nothing is added once draining is true
}

func newDatagrams(conn net.PacketConn, answer func(context.Context, []byte) []byte) *datagrams {
	s := &datagrams{conn: conn, answer: answer, accepting: make(chan struct{}), drained: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s
}

// Check is called by New and Add.
func (s *datagrams) Check() error {
	if s.conn == nil || s.answer == nil {
		return errors.New("datagrams: nil connection or function")
	}
	return nil
}

// Accepting is the channel that Serve closes.
func (s *datagrams) Accepting() <-chan struct{} { return s.accepting }

// Attach passes the Life on: handlers may call lastcall.Draining and lastcall.TimerAt.
func (s *datagrams) Attach(h lastcall.Host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx = lastcall.NewContext(s.ctx, h.Life())
}

// Serve reads until GracefulStop or Stop. An error before that fails the shutdown; an
// error after that is the end that was asked for.
func (s *datagrams) Serve() error {
	close(s.accepting) // the kernel queues datagrams from now on
	for {
		buf := make([]byte, 64<<10)
		n, peer, err := s.conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		s.begin(buf[:n], peer)
	}
}

// begin answers a datagram, unless the drain has begun.
func (s *datagrams) begin(request []byte, peer net.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return
	}
	ctx := s.ctx
	s.work.Go(func() { _, _ = s.conn.WriteTo(s.answer(ctx, request), peer) })
}

// GracefulStop ends Serve, waits for the answers, and closes the connection.
func (s *datagrams) GracefulStop() {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	_ = s.conn.SetReadDeadline(time.Now()) // wakes Serve; answers can still be written
	s.work.Wait()
	_ = s.conn.Close()
	close(s.drained)
}

// Cancel ends the contexts of the handlers, and waits until their answers are out.
func (s *datagrams) Cancel(ctx context.Context, cause error) {
	s.cancel(cause)
	select {
	case <-s.drained:
	case <-ctx.Done(): // the time of the phase is over, which is not a failure
	}
}

// Stop closes the connection: whatever is written to it now fails.
func (s *datagrams) Stop() {
	s.cancel(nil)
	_ = s.conn.Close()
}

// A server of another protocol becomes one for the controller with the methods that
// concern it. The datagram in flight is answered before the connection is closed.
func Example_adapter() {
	conn, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	handling := make(chan struct{})
	s := newDatagrams(conn, func(ctx context.Context, request []byte) []byte {
		close(handling)
		<-lastcall.Draining(ctx)
		return append([]byte("last answer to "), request...)
	})
	ctl, err := controller.New(exampleBudget, controller.WithSignals(), controller.WithServer("datagrams", s))
	if err != nil {
		fmt.Println(err)
		return
	}
	go ctl.Run(context.Background())

	<-ctl.Serving()
	client, err := new(net.Dialer).DialContext(context.Background(), "udp", conn.LocalAddr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	if _, err := client.Write([]byte("hello")); err != nil {
		fmt.Println(err)
		return
	}
	<-handling
	ctl.Shutdown(nil)
	answer := make([]byte, 100)
	n, err := client.Read(answer)
	fmt.Println(string(answer[:n]), err)
	got, err := ctl.Wait(context.Background())
	fmt.Println(got.Outcome, err)
	// Output:
	// last answer to hello <nil>
	// drained <nil>
}
