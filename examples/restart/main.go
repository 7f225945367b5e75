//go:build unix

// Command restart runs a server and restarts it in place, without losing a connection:
//
//	restart -listen grpc=127.0.0.1:50051 ./server -budget 30s
//	kill -HUP <pid of restart>
//
// It opens the sockets and passes them to the server, in the way of systemd (LISTEN_FDS), so
// they stay open whatever the server does. On SIGHUP it starts the server's file again, which
// may be a new version. When the new process has said READY=1 (NOTIFY_SOCKET), the old one gets
// SIGTERM and drains; until then both accept. If the new one ends or is not ready in time, it
// is killed, and the old one serves on. SIGTERM and SIGINT end every server, with the exit
// code of the last one.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == become {
		fmt.Fprintln(os.Stderr, becomeServer(os.Args[2:])) // it returns only if it cannot
		os.Exit(1)
	}
	r := restarter{log: zerolog.New(os.Stderr).With().Timestamp().Logger()}
	flag.Func("listen", "`name=address` of a TCP socket, once or more", r.listen)
	flag.DurationVar(&r.ready, "ready", 30*time.Second, "`time` until a server must be ready")
	flag.DurationVar(&r.grace, "grace", 30*time.Second, "`time` from SIGTERM to SIGKILL")
	flag.Parse()
	if len(r.files) == 0 || flag.NArg() == 0 || r.ready <= 0 || r.grace <= 0 {
		fmt.Fprintln(os.Stderr, "usage: restart -listen name=address [-ready 30s] [-grace 30s] server [arguments]")
		os.Exit(2)
	}
	r.command = flag.Args()
	r.signals = make(chan os.Signal, 8)
	signal.Notify(r.signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	os.Exit(r.run())
}

// restarter has the sockets, and starts one server after the other.
type restarter struct {
	log          zerolog.Logger
	files        []*os.File
	names        []string
	command      []string
	ready, grace time.Duration
	signals      chan os.Signal
}

// run returns the exit code of the last server, when those before it have ended as well: in a
// container what outlives this process is killed.
func (r *restarter) run() int {
	var old sync.WaitGroup
	defer old.Wait()
	current, err := r.start()
	if err != nil {
		r.log.Error().Err(err).Msg("the server did not start")
		return 1
	}
	for {
		select {
		case <-current.done:
			r.log.Error().Int("pid", current.pid()).Msg("the server has ended by itself")
			return current.exitCode()
		case s := <-r.signals:
			if s != syscall.SIGHUP {
				r.end(current)
				return current.exitCode()
			}
			next, err := r.start()
			switch {
			case errors.Is(err, errTold):
				r.end(current)
				return current.exitCode()
			case err != nil:
				r.log.Error().Err(err).Int("pid", current.pid()).Msg("the new server did not start, the old one serves on")
			default:
				ends := current
				old.Go(func() { r.end(ends) })
				current = next
			}
		}
	}
}

var errTold = errors.New("told to end")

// start starts a server and returns it when it is ready.
func (r *restarter) start() (*process, error) {
	p, err := launch(r.command, r.names, r.files)
	if err != nil {
		return nil, err
	}
	late := time.NewTimer(r.ready)
	defer late.Stop()
	for {
		select {
		case <-p.ready:
			r.log.Info().Int("pid", p.pid()).Msg("ready")
			return p, nil
		case <-p.done:
			return nil, fmt.Errorf("%s has ended: %v", r.command[0], p.cmd.ProcessState)
		case <-late.C:
			err = fmt.Errorf("%s is not ready after %v", r.command[0], r.ready)
		case s := <-r.signals:
			if s == syscall.SIGHUP {
				continue // it is being restarted
			}
			err = errTold
		}
		_ = p.cmd.Process.Kill() // if it has ended, it has ended
		<-p.done
		return nil, err
	}
}

// end has a server end, and returns when it has.
func (r *restarter) end(p *process) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // if it has ended, it has ended
	select {
	case <-p.done:
	case <-time.After(r.grace):
		r.log.Error().Int("pid", p.pid()).Msg("killed after its grace period")
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	r.log.Info().Int("pid", p.pid()).Int("exit_code", p.exitCode()).Msg("ended")
}

// become is the argument with which this program becomes the server: LISTEN_PID has to be
// the server's process id, which only the process itself can know.
const become = "become"

func becomeServer(command []string) error {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, command, append(os.Environ(), "LISTEN_PID="+strconv.Itoa(os.Getpid()))) //nolint:gosec // the command line says which
}
