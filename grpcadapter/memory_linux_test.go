package grpcadapter_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/shutdowntest/faults"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/tlstest"
)

// maxMemory is what an idle connection may cost under the adapter, where 1 is what it
// costs a plain server. It is measured at 1.04 to 1.05; the rest is for noise.
const maxMemory = 1.1

// hello is how an HTTP/2 client begins, with settings that say nothing, and
// acknowledges the server's.
const hello = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x00\x04\x01\x00\x00\x00\x00"

// An idle connection costs what it costs a plain server. The clients are descriptors
// and no more, so that what is measured is the server's alone.
func TestMemoryPerConnection(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	servers := map[string]func(net.Listener) (serve func() error, stop func()){
		"plain": func(lis net.Listener) (func() error, func()) {
			srv := grpc.NewServer()
			return func() error { return srv.Serve(lis) }, srv.Stop
		},
		"New": func(lis net.Listener) (func() error, func()) {
			g := grpcadapter.New(lis)
			g.NewServer()
			return g.Serve, g.Stop
		},
		"Use": func(lis net.Listener) (func() error, func()) {
			g := grpcadapter.Use(grpc.NewServer(), grpcadapter.WithListener(lis))
			return g.Serve, g.Stop
		},
		"twice": func(lis net.Listener) (func() error, func()) { // one Listener around another
			g := grpcadapter.Use(grpc.NewServer(), grpcadapter.WithListener(grpcadapter.WrapListener(&faults.Listener{Listener: grpcadapter.WrapListener(lis)})))
			return g.Serve, g.Stop
		},
	}
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			took := map[string][]usage{}
			for range 3 {
				for name, build := range servers {
					took[name] = append(took[name], memoryOf(t, network, 600, build))
				}
			}
			plain := smallest(took["plain"])
			for name, all := range took {
				got := smallest(all)
				ratio := float64(got.heap) / float64(plain.heap)
				limit := maxMemory
				if name == "twice" {
					limit += maxMemory - 1
				}
				t.Logf("%s: %d B of heap and %d B of stack per connection, %.2f times plain", name, got.heap, got.stack, ratio)
				if ratio > limit {
					t.Errorf("%s: an idle connection costs %d B, %.2f times the %d of a plain server; at most %v are allowed", name, got.heap, ratio, plain.heap, limit)
				}
				if name != "twice" && got.stack > plain.stack*3/2+1<<10 {
					t.Errorf("%s: the stacks of an idle connection cost %d B, where those of a plain server cost %d", name, got.stack, plain.stack)
				}
			}
		})
	}
}

// Over TLS grpc holds a buffer for each connection, and the adapter adds nothing to
// that. The clients are in this process, at the same cost on either side.
func TestMemoryPerConnection_TLS(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	cert, roots, err := tlstest.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	creds := grpc.Creds(credentials.NewServerTLSFromCert(&cert))
	client := &tls.Config{RootCAs: roots, ServerName: tlstest.Name, NextProtos: []string{"h2"}}
	measure := func(build func(net.Listener) (func() error, func())) usage {
		return memory(t, "tcp", 200, build, func(network, addr string) func() {
			c, err := (&tls.Dialer{Config: client}).DialContext(t.Context(), network, addr)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte(hello)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			return func() { c.Close() }
		})
	}
	var plain, ours []usage
	for range 3 {
		plain = append(plain, measure(func(lis net.Listener) (func() error, func()) {
			srv := grpc.NewServer(creds)
			return func() error { return srv.Serve(lis) }, srv.Stop
		}))
		ours = append(ours, measure(func(lis net.Listener) (func() error, func()) {
			g := grpcadapter.New(lis)
			g.NewServer(creds)
			return g.Serve, g.Stop
		}))
	}
	a, b := smallest(plain), smallest(ours)
	t.Logf("plain %+v, New %+v", a, b)
	if more := b.heap - a.heap; more > 2<<10 {
		t.Errorf("a TLS connection costs %d B, where a plain server needs %d", b.heap, a.heap)
	}
}

// usage is the memory of one connection, in bytes.
type usage struct{ heap, stack int }

// smallest returns the least of each, as noise only adds.
func smallest(all []usage) usage {
	least := all[0]
	for _, u := range all {
		least = usage{min(least.heap, u.heap), min(least.stack, u.stack)}
	}
	return least
}

// memoryOf measures with clients that cost this process a descriptor.
func memoryOf(t *testing.T, network string, n int, build func(net.Listener) (func() error, func())) usage {
	return memory(t, network, n, build, func(network, addr string) func() {
		fd := connect(t, network, addr)
		if _, err := unix.Write(fd, []byte(hello)); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < 9+9; { // SETTINGS and the ACK of ours, at least
			k, err := unix.Read(fd, make([]byte, 512))
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil || k == 0 {
				t.Fatalf("the server has sent %d bytes, then %v", got, err)
			}
			got += k
		}
		return func() { _ = unix.Close(fd) }
	})
}

// memory returns what one of n idle connections costs, which dial opens.
func memory(t *testing.T, network string, n int, build func(net.Listener) (func() error, func()), dial func(network, addr string) (hangUp func())) usage {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(os.TempDir(), fmt.Sprintf("lastcall-%d-%d.sock", os.Getpid(), time.Now().UnixNano()))
	}
	lis, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	serve, stop := build(lis)
	served := make(chan error, 1)
	go func() { served <- serve() }()
	hangUps := make([]func(), 0, n+1)
	hangUps = append(hangUps, dial(network, lis.Addr().String())) // what is made once is not counted
	heap, stack := inUse()
	for range n {
		hangUps = append(hangUps, dial(network, lis.Addr().String()))
	}
	moreHeap, moreStack := inUse()
	stop()
	for _, hangUp := range hangUps {
		hangUp()
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	return usage{(moreHeap - heap) / n, (moreStack - stack) / n}
}

// inUse returns the bytes of heap and stacks, when what is garbage is gone and pools
// are empty.
func inUse() (heap, stack int) {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc), int(m.StackInuse)
}

// connect returns the descriptor of a connection.
func connect(t *testing.T, network, addr string) int {
	t.Helper()
	family, to := unix.AF_UNIX, unix.Sockaddr(&unix.SockaddrUnix{Name: addr})
	if network == "tcp" {
		tcp, err := net.ResolveTCPAddr(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(tcp.IP.To4())}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 30}); err != nil {
		t.Fatal(err)
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Connect(fd, to)
	}
	if err != nil && !errors.Is(err, unix.EISCONN) {
		t.Fatal(err)
	}
	return fd
}
