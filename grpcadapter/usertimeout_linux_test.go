package grpcadapter_test

import (
	"crypto/tls"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/shutdowntest/faults"

	"golang.org/x/sys/unix"

	"github.com/lastcall-go/lastcall/grpcadapter"
)

// TCP_USER_TIMEOUT is what UserTimeout says, by default what grpc sets if the
// listener is not wrapped. Connections of other kinds, also those that say that
// they have a descriptor, are served as they are.
func TestUserTimeout(t *testing.T) {
	for name, tt := range map[string]struct {
		opts []grpcadapter.ListenerOption
		want int
	}{
		"default":     {nil, 20_000},
		"five":        {[]grpcadapter.ListenerOption{grpcadapter.UserTimeout(5 * time.Second)}, 5_000},
		"nearly none": {[]grpcadapter.ListenerOption{grpcadapter.UserTimeout(time.Microsecond)}, 1},
		"none":        {[]grpcadapter.ListenerOption{grpcadapter.UserTimeout(0)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, ours, _ := accept(t, "tcp", tt.opts...)
			if got := userTimeout(t, ours); got != tt.want {
				t.Errorf("TCP_USER_TIMEOUT is %d ms, want %d", got, tt.want)
			}
			_, ours, theirs := accept(t, "unix", tt.opts...)
			if _, err := theirs.Write([]byte("x")); err != nil {
				t.Error(err)
			}
			if _, err := ours.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("below tls.NewListener", func(t *testing.T) {
		tcp, dial := listenOn(t, "tcp")
		socket := make(chan net.Conn, 1)
		lis := grpcadapter.WrapListener(tls.NewListener(&faults.Listener{OnAccept: func() (net.Conn, error) {
			c, err := tcp.Accept()
			socket <- c
			return c, err
		}}, &tls.Config{Certificates: make([]tls.Certificate, 1)}))
		theirs, err := dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer theirs.Close()
		ours, err := lis.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		below, got := <-socket, 0
		for range 10_000 { // it is set on another goroutine
			if got = userTimeout(t, below); got != 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if got != 20_000 {
			t.Errorf("TCP_USER_TIMEOUT is %d ms", got)
		}
	})
}

func userTimeout(t *testing.T, c net.Conn) int {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	ms, failed := 0, error(nil)
	if err := raw.Control(func(fd uintptr) {
		ms, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	}); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return ms
}
