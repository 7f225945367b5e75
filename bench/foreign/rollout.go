//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// rollout has the server that serves, and replaces it.
type rollout struct {
	proto, server string
	settle        time.Duration
	front         net.Listener           // of the balancer
	to            atomic.Pointer[string] // the address that its next connection is led to
	now           *exec.Cmd
}

// begin starts the first server, and the balancer.
func (r *rollout) begin(ctx context.Context) error {
	err := r.replace(ctx)
	if err != nil {
		return err
	}
	r.front, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		for {
			client, err := r.front.Accept()
			if err != nil {
				return // it is closed
			}
			go connect(client, *r.to.Load())
		}
	}()
	return nil
}

// connect passes on what the two say, until both have closed.
func connect(client net.Conn, to string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // whoever has closed has said why
		if tcp, ok := to.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}
	var both sync.WaitGroup
	both.Go(func() { pass(server, client) })
	both.Go(func() { pass(client, server) })
	both.Wait()
}

// start starts a server and returns when it accepts.
func (r *rollout) start(ctx context.Context) (*exec.Cmd, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	cmd := exec.CommandContext(ctx, self, "-serve", "-proto", r.proto, "-how", r.server, "-settle", r.settle.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		return nil, "", errors.Join(errors.New("the server did not start"), cmd.Wait())
	}
	return cmd, lines.Text(), nil
}

// replace starts a server, and ends the one before it, if there is one.
func (r *rollout) replace(ctx context.Context) error {
	next, addr, err := r.start(ctx)
	if err != nil {
		return err
	}
	old := r.now
	r.now = next
	r.to.Store(&addr)
	return terminate(old)
}

// end ends the last server.
func (r *rollout) end() error {
	old := r.now
	r.now = nil
	_ = r.front.Close()
	return terminate(old)
}

func terminate(cmd *exec.Cmd) error {
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("the server: %w", err)
	}
	return nil
}

// kill ends what is left after an error.
func (r *rollout) kill() {
	if r.front != nil {
		_ = r.front.Close()
	}
	if r.now != nil {
		_ = r.now.Process.Kill()
		_ = r.now.Wait()
	}
}
