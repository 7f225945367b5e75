package faults_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall/shutdowntest/faults"
)

// ends reports how a call ends: with its result, a panic, Goexit, or not within an hour
// of the bubble.
func ends(call func()) string {
	how := make(chan string, 1)
	go func() {
		result := "goexit"
		defer func() {
			if recover() != nil {
				result = "panics"
			}
			how <- result
		}()
		call()
		result = "returns"
	}()
	select {
	case s := <-how:
		return s
	case <-time.After(time.Hour):
		return "hangs"
	}
}

// Each call of a connection and a listener goes wrong as asked, and no other does.
func TestCallsGoWrong(t *testing.T) {
	for how, fault := range map[string]func(over chan struct{}) faults.Fault{
		"panics":  func(chan struct{}) faults.Fault { return faults.Panic("no") },
		"goexit":  func(chan struct{}) faults.Fault { return faults.Goexit },
		"hangs":   func(over chan struct{}) faults.Fault { return faults.Hang(over) },
		"returns": func(chan struct{}) faults.Fault { return nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			over := make(chan struct{})
			in := func(op faults.Op) faults.In { return faults.In{op: fault(over)} }
			conn := func(op faults.Op) *faults.SocketConn {
				near, far := net.Pipe()
				_ = far.Close()
				return faults.OverSocket(near, in(op))
			}
			lis := func(op faults.Op) *faults.Listener { return &faults.Listener{Listener: noListener{}, Faults: in(op)} }
			for op, call := range map[faults.Op]func(faults.Op){
				faults.Read:       func(op faults.Op) { _, _ = conn(op).Read(nil) },
				faults.Write:      func(op faults.Op) { _, _ = conn(op).Write(nil) },
				faults.Close:      func(op faults.Op) { _ = conn(op).Close() },
				faults.Deadline:   func(op faults.Op) { _ = conn(op).SetReadDeadline(time.Time{}) },
				faults.LocalAddr:  func(op faults.Op) { conn(op).LocalAddr() },
				faults.RemoteAddr: func(op faults.Op) { conn(op).RemoteAddr() },
				faults.Socket:     func(op faults.Op) { _, _ = conn(op).SyscallConn() },
				faults.Below:      func(op faults.Op) { conn(op).NetConn() },
				faults.Accept:     func(op faults.Op) { _, _ = lis(op).Accept() },
				faults.Addr:       func(op faults.Op) { lis(op).Addr() },
			} {
				if got := ends(func() { call(op) }); got != how {
					t.Errorf("%s %s, want %s", op, got, how)
				}
				if got := ends(func() { call("another") }); got != "returns" {
					t.Errorf("%s without a fault %s", op, got)
				}
			}
			if got := ends(func() { _ = fault(over).Func()(context.Background()) }); got != how {
				t.Errorf("a closer %s, want %s", got, how)
			}
			close(over)
		})
	}
}

type noListener struct{}

func (noListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (noListener) Close() error              { return nil }
func (noListener) Addr() net.Addr            { return nil }

func listen(t *testing.T) net.Listener {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	return lis
}

// pair returns the two ends of a connection over TCP, the second accepted by lis.
func pair(t *testing.T, lis net.Listener) (peer, c net.Conn) {
	t.Helper()
	peer, err := faults.Dial(t.Context(), lis)
	if err != nil {
		t.Fatal(err)
	}
	c, err = lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close(); c.Close() })
	return peer, c
}

// Peers do what they are called after.
func TestPeers(t *testing.T) {
	lis := listen(t)
	peer, c := pair(t, lis)
	if err := faults.HalfClose(peer); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("half closed: read %v", err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Errorf("half closed: write %v", err)
	}
	peer, c = pair(t, lis)
	if err := faults.Reset(peer.(*net.TCPConn)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: read %v", err)
	}
}

// A deaf listener accepts after Close, until the one inside is closed; connections of Conns go wrong.
func TestListeners(t *testing.T) {
	inner := listen(t)
	lis := faults.Deaf(faults.Conns(inner, faults.In{faults.Close: faults.Panic("no")}))
	if err := lis.Close(); err != nil {
		t.Fatal(err)
	}
	_, c := pair(t, lis)
	c.(*faults.Conn).Faults = nil
	_ = inner.Close()
	if _, err := lis.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("when it is over: %v", err)
	}
}

// Close of a listener whose descriptor was taken waits for a connection.
func TestTakeDescriptor(t *testing.T) {
	lis := listen(t)
	file, err := faults.TakeDescriptor(lis)
	if err != nil {
		t.Skip(err)
	}
	defer file.Close()
	accepted, closed := make(chan error, 1), make(chan struct{})
	go func() {
		c, err := lis.Accept()
		if err == nil {
			err = c.Close()
		}
		accepted <- err
	}()
	time.Sleep(20 * time.Millisecond) // it is in the system call; earlier, Close would end it
	go func() { _ = lis.Close(); close(closed) }()
	select {
	case <-closed:
		t.Error("Close has returned")
	case <-time.After(50 * time.Millisecond):
	}
	c, err := faults.Dial(t.Context(), lis)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-closed
	if err := <-accepted; err != nil {
		t.Errorf("Accept returned %v", err)
	}
	if _, err := faults.TakeDescriptor(noListener{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("without a descriptor: %v", err)
	}
}

// Pipes fail or block; signals are dropped where there is no room.
func TestPipesAndSignals(t *testing.T) {
	w, err := faults.BrokenPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteString("x"); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("broken: %v", err)
	}
	r, w, err := faults.FullPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	wrote := make(chan error, 1)
	go func() { _, err := w.Write(make([]byte, 4<<10)); wrote <- err }()
	select {
	case err := <-wrote:
		t.Errorf("full: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	if err := <-wrote; err != nil {
		t.Errorf("when it is read: %v", err)
	}
	s := faults.NewSignals(1)
	if !s.Send(os.Interrupt) || s.Send(os.Interrupt) || <-s != os.Interrupt {
		t.Error("signals are not dropped when there is no room")
	}
}
