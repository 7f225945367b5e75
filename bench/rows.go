package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/bench/child"
)

// row is one question, put to several contestants.
type row struct {
	name  string
	title string
	text  string   // what the process has and what happens to it
	main  string   // the value that is compared
	more  []string // other values
	base  string   // the contestant whose main value is 1
	peers []string
	reps  int
	at    int           // runs at the same time: more than one where they mostly wait
	takes time.Duration // about
	facts bool          // also shows calls, closers, log, exit code, goroutines
	cases []kase
}

// kase is one variant of a row.
type kase struct {
	name  string
	spec  child.Spec
	reps  int // instead of the row's
	env   []string
	drive func(*trial) error // up to the signal and beyond, until nothing is left to do but wait
}

const calm = 50 * time.Millisecond // between the last thing set up and the signal

// terminate lets the set-up settle and sends SIGTERM.
func (t *trial) terminate() error {
	time.Sleep(calm)
	return t.signal(syscall.SIGTERM)
}

// forced lets the set-up settle and asks for a forced end.
func (t *trial) forced() error {
	time.Sleep(calm)
	return t.force()
}

// ready makes one call, after which the contestant serves for certain.
func (t *trial) ready() ([]*grpc.ClientConn, error) {
	c, err := t.dial(1)
	if err == nil {
		call(c[0], "")
	}
	return c, err
}

// with returns a driver for one connection on which something goes on when the end comes.
func with(do func(*trial, []*grpc.ClientConn) error, end func(*trial) error) func(*trial) error {
	return func(t *trial) error {
		c, err := t.ready()
		if err != nil {
			return err
		}
		if err := do(t, c); err != nil {
			return err
		}
		return end(t)
	}
}

func unary(does string) func(*trial) error {
	return with(func(t *trial, c []*grpc.ClientConn) error { return t.unary(c, 1, does) }, (*trial).terminate)
}

func stream(t *trial, c []*grpc.ClientConn) error {
	_, err := t.streams(c, 1)
	return err
}

func watch(t *trial, c []*grpc.ClientConn) error {
	s, err := healthpb.NewHealthClient(c[0]).Watch(context.Background(), &healthpb.HealthCheckRequest{})
	if err != nil {
		return err
	}
	if _, err := s.Recv(); err != nil {
		return err
	}
	t.calls.Go(func() {
		for {
			m, err := s.Recv()
			if err != nil {
				t.count(status.Code(err).String())
				return
			}
			t.count(m.GetStatus().String())
		}
	})
	return nil
}

// idle returns a driver for n idle connections.
func idle(n int, end func(*trial) error) func(*trial) error {
	return func(t *trial) (err error) {
		if t.spec.Proto == "grpc" {
			_, err = t.dial(n)
		} else {
			_, err = t.clients(n)
		}
		if err != nil {
			return err
		}
		time.Sleep(time.Duration(n/50) * time.Millisecond)
		return end(t)
	}
}

// request returns a driver for one request of HTTP, or one RPC, in flight. The signal comes
// while its handler runs: a request that was answered before that was seen is not counted,
// and followed by another one.
func request(d time.Duration) func(*trial) error {
	return func(t *trial) error {
		var do func() string
		if t.spec.Proto == "grpc" {
			c, err := t.ready()
			if err != nil {
				return err
			}
			do = func() string { return call(c[0], d.String()) }
		} else {
			c, err := t.clients(1)
			if err != nil {
				return err
			}
			do = func() string { return t.get(c[0], d.String()) }
		}
		for end := time.Now().Add(patience); time.Now().Before(end); {
			code := make(chan string, 1)
			go func() { code <- do() }()
			seen, err := t.seen(code)
			if err != nil {
				return err
			}
			if seen {
				t.calls.Go(func() { t.count(<-code) })
				return t.signal(syscall.SIGTERM)
			}
		}
		return fmt.Errorf("no handler of %v was seen running", d)
	}
}

// opening sends the signal while the process opens its dependencies.
func opening(t *trial) error {
	if err := t.opening(); err != nil {
		return err
	}
	return t.terminate()
}

// held returns a driver for the memory of n connections, calls or streams.
func held(n, conns int, open func(*trial, []*grpc.ClientConn) error) func(*trial) error {
	return func(t *trial) error {
		var over []*grpc.ClientConn
		if _, err := t.ready(); err != nil {
			return err
		}
		if conns > 0 {
			var err error
			if over, err = t.dial(conns); err != nil {
				return err
			}
		}
		time.Sleep(5 * calm)
		before, err := t.status("memory")
		if err != nil {
			return err
		}
		if err := open(t, over); err != nil {
			return err
		}
		time.Sleep(5 * calm)
		if err := t.memory(before, n); err != nil {
			return err
		}
		return t.signal(syscall.SIGKILL)
	}
}

// starved sets up a call that hangs and eight busy loops.
func starved(t *trial, c []*grpc.ClientConn) error {
	if err := t.unary(c, 1, "deaf"); err != nil {
		return err
	}
	_, err := t.status("busy")
	return err
}

// manyStreams opens n streams over 100 connections. Their clients end them after a
// while, or never.
func manyStreams(n int, end time.Duration) func(*trial) error {
	return func(t *trial) error {
		c, err := t.dial(100)
		if err != nil {
			return err
		}
		all, err := t.streams(c, n)
		if err != nil {
			return err
		}
		if err := t.terminate(); err != nil || end == 0 {
			return err
		}
		time.Sleep(end)
		for _, s := range all {
			_ = s.CloseSend()
		}
		return nil
	}
}

// lagging makes a connection for each call, for a second after the signal.
func lagging(t *trial) error {
	if _, err := t.ready(); err != nil {
		return err
	}
	if err := t.terminate(); err != nil {
		return err
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		t.calls.Go(func() {
			c, err := grpc.NewClient("passthrough:///"+t.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
			if err != nil {
				t.count(err.Error())
				return
			}
			defer func() { _ = c.Close() }()
			t.count(call(c, "1ms"))
		})
	}
	return nil
}

// roundRobin has calls on two backends, of which one is stopped.
func roundRobin(t *trial) error {
	other, err := start(t.cmd.Path, t.spec, nil)
	if err != nil {
		return err
	}
	t.undo = append(t.undo, other.done)
	r := manual.NewBuilderWithScheme("bench")
	r.InitialState(resolver.State{Addresses: []resolver.Address{{Addr: t.addr}, {Addr: other.addr}}})
	c, err := connect("bench:///both", grpc.WithResolvers(r), grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))
	if err != nil {
		return err
	}
	t.undo = append(t.undo, func() { _ = c.Close() })
	for i := range 300 {
		if i == 100 {
			if err := t.signal(syscall.SIGTERM); err != nil {
				return err
			}
		}
		t.calls.Go(func() { t.count(call(c, "20ms")) })
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// second ends a process with SIGTERM, and SIGINT a second later.
func second(t *trial) error {
	if err := t.terminate(); err != nil {
		return err
	}
	select {
	case <-time.After(time.Second):
		return t.signal(syscall.SIGINT)
	case <-t.exited:
		return nil
	}
}
