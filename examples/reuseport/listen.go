//go:build linux

package main

import (
	"context"
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// The sockets of a port are numbered in the order in which they began to listen. When one
// closes, the last one gets its number; so a process that is alone has number 0.
const (
	first  = 0 // serves
	second = 1 // has come to replace it
)

// listen opens a socket of its own for a port on which another process of the same user may
// listen. While that serves, it gets all new connections: this process may still fail to start.
func listen(ctx context.Context, addr string) (*net.TCPListener, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	}}
	config.SetMultipathTCP(false) // such a socket takes no program
	lis, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	tcp := lis.(*net.TCPListener) //nolint:forcetypeassert // of "tcp" it is one
	if err := prefer(tcp, first); err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	return tcp, nil
}

// prefer has the kernel give new connections to the socket with this number, for all processes
// that listen on the port. If there is none with it, the kernel picks one. Otherwise it would
// pick one by the client's address, and reset those that wait in the queue of a socket that
// closes. It takes no privileges.
func prefer(lis *net.TCPListener, number uint32) error {
	raw, err := lis.SyscallConn()
	if err != nil {
		return err
	}
	program := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: number}}
	return control(raw, func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &unix.SockFprog{Len: 1, Filter: &program[0]})
	})
}

// control calls f with the descriptor of a socket, and leaves the socket as it is otherwise.
func control(raw syscall.RawConn, f func(fd int) error) error {
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}
