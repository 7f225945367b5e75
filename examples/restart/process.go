//go:build unix

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// process is a running server.
type process struct {
	cmd   *exec.Cmd
	ready chan struct{} // closed when it has said READY=1
	done  chan struct{} // closed when it has ended
}

func (p *process) pid() int      { return p.cmd.Process.Pid }
func (p *process) exitCode() int { return p.cmd.ProcessState.ExitCode() }

// launch starts a server with the sockets, and a socket of its own for READY=1.
func launch(command, names []string, files []*os.File) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "restart-")
	if err != nil {
		return nil, err
	}
	address := filepath.Join(dir, "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: address})
	if err != nil {
		_ = os.RemoveAll(dir) // nothing is in it
		return nil, err
	}
	p := &process{cmd: exec.Command(self, append([]string{become}, command...)...), ready: make(chan struct{}), done: make(chan struct{})} //nolint:noctx,gosec // it outlives every context
	p.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+address, fmt.Sprintf("LISTEN_FDS=%d", len(files)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	p.cmd.ExtraFiles = files // 3 and up, as the protocol has it
	p.cmd.Stdout, p.cmd.Stderr = os.Stdout, os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // signals typed at a terminal are for this process
	if err = p.cmd.Start(); err != nil {
		_ = notify.Close()
		_ = os.RemoveAll(dir)
		return nil, err
	}
	go p.hear(notify)
	go func() {
		_ = p.cmd.Wait() // ProcessState says how it ended
		close(p.done)
		_ = notify.Close() // ends hear
		_ = os.RemoveAll(dir)
	}()
	return p, nil
}

// hear reads what the server says, until the socket is closed.
func (p *process) hear(notify *net.UnixConn) {
	buf, ready := make([]byte, 1<<12), false
	for {
		n, err := notify.Read(buf)
		if err != nil {
			return
		}
		for line := range strings.Lines(string(buf[:n])) {
			if strings.TrimSpace(line) == "READY=1" && !ready {
				ready = true
				close(p.ready)
			}
		}
	}
}

// listen opens a socket. Its descriptor stays in nonblocking mode, which all processes share:
// File of a net.Listener, given to another process, would make the Accept of a server that
// runs block, and it would not notice that its listener is closed.
func (r *restarter) listen(text string) error {
	name, addr, ok := strings.Cut(text, "=")
	if !ok || name == "" || strings.Contains(name, ":") {
		return errors.New("it must be a name and an address, such as grpc=127.0.0.1:50051")
	}
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = lis.Close() }()
	raw, err := lis.(*net.TCPListener).SyscallConn() //nolint:forcetypeassert // of "tcp" it is one
	if err != nil {
		return err
	}
	var fd int
	var dupErr error
	if err := raw.Control(func(own uintptr) { fd, dupErr = syscall.Dup(int(own)) }); err != nil {
		return err
	}
	if dupErr != nil {
		return dupErr
	}
	syscall.CloseOnExec(fd)
	r.files = append(r.files, os.NewFile(uintptr(fd), name))
	r.names = append(r.names, name)
	r.log.Info().Str("name", name).Stringer("addr", lis.Addr()).Msg("listening")
	return nil
}
