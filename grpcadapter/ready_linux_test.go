package grpcadapter_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/shutdowntest/faults"

	"google.golang.org/grpc/mem"

	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
)

type onReady interface {
	ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error)
}

// countingPool knows how many buffers are out.
type countingPool struct {
	mu       sync.Mutex
	out, all int
}

func (p *countingPool) Get(n int) *[]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out++
	p.all++
	b := make([]byte, n)
	return &b
}

func (p *countingPool) Put(*[]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out--
}

func (p *countingPool) want(t *testing.T, out int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != out {
		t.Errorf("%d buffers are out, want %d", p.out, out)
	}
}

// A connection has ReadOnReady if the one inside has it or is a socket of package net,
// and only then; SyscallConn goes the same way.
func TestWhoHasReadOnReady(t *testing.T) {
	_, tcp, _ := accept(t, "tcp")
	memory, _ := mempipe.New(1)
	defer memory.Close()
	for name, tt := range map[string]struct {
		inner           net.Conn
		ready, isSocket bool
	}{
		"TCP":                       {socketOf(t, "tcp"), true, true},
		"unix":                      {socketOf(t, "unix"), true, true},
		"memory":                    {memory, false, false},
		"TLS":                       {tls.Server(socketOf(t, "tcp"), &tls.Config{}), false, false},
		"around TCP":                {struct{ net.Conn }{socketOf(t, "tcp")}, false, false},
		"with a foreign descriptor": {&describedConn{memory, socketOf(t, "tcp").(syscall.Conn)}, false, true},
		"a Listener's":              {tcp, true, true},
		"its own":                   {&ownReader{Conn: memory}, true, false},
		"its own and a descriptor":  {&struct{ *ownReader }{&ownReader{Conn: socketOf(t, "tcp")}}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			lis := grpcadapter.WrapListener(&faults.Listener{OnAccept: func() (net.Conn, error) { return tt.inner, nil }})
			c, err := lis.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if _, ready := c.(onReady); ready != tt.ready {
				t.Errorf("it has ReadOnReady: %v, want %v", ready, tt.ready)
			}
			if _, is := c.(syscall.Conn); is != tt.isSocket {
				t.Errorf("it has SyscallConn: %v, want %v", is, tt.isSocket)
			}
			if own, ok := tt.inner.(*ownReader); ok {
				if _, n, err := c.(onReady).ReadOnReady(7, &countingPool{}); n != 7 || err != io.ErrNoProgress || own.asked != 1 { //nolint:errorlint // that very error
					t.Errorf("%d and %v after %d calls", n, err, own.asked)
				}
			}
		})
	}
}

// describedConn is a connection whose descriptor holds something else, as one that
// encrypts.
type describedConn struct {
	net.Conn
	below syscall.Conn
}

func (c *describedConn) SyscallConn() (syscall.RawConn, error) { return c.below.SyscallConn() }

// ownReader is a connection that has the method.
type ownReader struct {
	net.Conn
	asked int
}

func (r *ownReader) ReadOnReady(size int, _ mem.BufferPool) (*[]byte, int, error) {
	r.asked++
	return nil, size, io.ErrNoProgress
}

// socketOf returns one end of a connection as package net made it.
func socketOf(t *testing.T, network string) net.Conn {
	t.Helper()
	lis, dial := listenOn(t, network)
	theirs, err := dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	c, err := lis.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// What was written comes, in order, in buffers of the pool; the end of the stream is
// io.EOF. While nothing comes no buffer is held, and after an error none is missing.
func TestReadOnReady(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			_, ours, theirs := accept(t, network)
			r, pool := ours.(onReady), &countingPool{}
			if b, n, err := r.ReadOnReady(0, pool); b != nil || n != 0 || err != nil {
				t.Errorf("nothing was asked for: %v, %d, %v", b, n, err)
			}
			sent := bytes.Repeat([]byte("0123456789"), 100_000)
			go func() {
				time.Sleep(time.Millisecond) // most often the reader waits by then
				_, _ = theirs.Write(sent)
				_ = theirs.(interface{ CloseWrite() error }).CloseWrite()
			}()
			var got []byte
			for {
				b, n, err := r.ReadOnReady(4<<10, pool)
				if err != nil {
					if !errors.Is(err, io.EOF) || b != nil || n != 0 {
						t.Errorf("at the end: %v, %d, %v", b, n, err)
					}
					break
				}
				got = append(got, (*b)[:n]...)
				pool.Put(b)
			}
			if !bytes.Equal(got, sent) {
				t.Errorf("%d bytes have come, of %d", len(got), len(sent))
			}
			pool.want(t, 0)
		})
	}
}

// A deadline, a Close, a Cut and a reset end the wait, as they end a Read.
func TestReadOnReadyEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(t *testing.T, lis *grpcadapter.Listener, ours, theirs net.Conn)
		want error
	}{
		"deadline": {func(t *testing.T, _ *grpcadapter.Listener, ours, _ net.Conn) {
			if err := ours.SetReadDeadline(time.Now()); err != nil {
				t.Error(err)
			}
		}, os.ErrDeadlineExceeded},
		"Close": {func(_ *testing.T, _ *grpcadapter.Listener, ours, _ net.Conn) { ours.Close() }, net.ErrClosed},
		"Cut":   {func(_ *testing.T, lis *grpcadapter.Listener, _, _ net.Conn) { lis.Cut() }, nil}, // EOF or closed
		"reset": {func(t *testing.T, _ *grpcadapter.Listener, _, theirs net.Conn) {
			if err := faults.Reset(theirs.(*net.TCPConn)); err != nil {
				t.Error(err)
			}
			theirs.Close()
		}, syscall.ECONNRESET},
	} {
		for _, before := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				lis, ours, theirs := accept(t, "tcp")
				pool := &countingPool{}
				if before {
					tt.end(t, lis, ours, theirs)
				} else {
					waits := make(chan struct{})
					defer func() { <-waits }()
					go func() {
						defer close(waits)
						time.Sleep(5 * time.Millisecond)
						tt.end(t, lis, ours, theirs)
					}()
				}
				b, n, err := ours.(onReady).ReadOnReady(1<<10, pool)
				if b != nil || n != 0 || err == nil || tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("%v, %d, %v; want %v", b, n, err, tt.want)
				}
				var op *net.OpError
				if !errors.Is(err, io.EOF) && !errors.As(err, &op) {
					t.Errorf("the error is no *net.OpError: %v", err)
				}
				pool.want(t, 0)
			})
		}
	}
	t.Run("a deadline that is taken back", func(t *testing.T) {
		_, ours, theirs := accept(t, "tcp")
		r, pool := ours.(onReady), &countingPool{}
		_ = ours.SetReadDeadline(time.Now())
		if _, _, err := r.ReadOnReady(1, pool); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		_ = ours.SetReadDeadline(time.Time{})
		if _, err := theirs.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if b, n, err := r.ReadOnReady(8, pool); err != nil || n != 1 || string((*b)[:n]) != "x" {
			t.Errorf("%d, %v", n, err)
		}
		pool.want(t, 1)
	})
}

// Goroutines that read with both methods get every byte once.
func TestReadOnReadyConcurrently(t *testing.T) {
	_, ours, theirs := accept(t, "tcp")
	pool := &countingPool{}
	const total = 1 << 20
	go func() {
		_, _ = theirs.Write(make([]byte, total))
		theirs.Close()
	}()
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := 0
	count := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		got += n
	}
	for i := range 4 {
		wg.Go(func() {
			for {
				if i%2 == 0 {
					n, err := ours.Read(make([]byte, 1<<10))
					count(n)
					if err != nil {
						return
					}
					continue
				}
				b, n, err := ours.(onReady).ReadOnReady(1<<10, pool)
				if err != nil {
					return
				}
				count(n)
				pool.Put(b)
			}
		})
	}
	wg.Wait()
	if got != total {
		t.Errorf("%d bytes have come, of %d", got, total)
	}
	pool.want(t, 0)
}
