package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// bareTime is how long Stop of bare grpc is watched while a silent peer holds it.
const bareTime = time.Second

// silentPeer is a TCP connection to a replica on which nothing is ever said, as
// that of a port scanner. It reads what comes.
type silentPeer struct {
	net.Conn
	greeted moment    // the server has spoken: it waits for the peer's part of the handshake
	ended   moment    // nothing more can be read
	at      time.Time // when it ended
	err     error     // with what it ended; io.EOF for the end of the stream
}

// dialSilent connects to a replica, and blocks until the server waits for the
// handshake, or until ctx ends.
func dialSilent(ctx context.Context, r *replica) (*silentPeer, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", r.addr())
	if err == nil {
		p := newSilentPeer(conn)
		select {
		case <-p.greeted.Done():
			return p, nil
		case <-p.ended.Done():
			err = p.err
		case <-ctx.Done():
		}
		_ = p.Close() // nothing was ever written
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return nil, fmt.Errorf("a silent peer of replica %s: %w", r.name, err)
}

func newSilentPeer(conn net.Conn) *silentPeer {
	p := &silentPeer{Conn: conn, greeted: newMoment(), ended: newMoment()}
	go p.read()
	return p
}

func (p *silentPeer) read() {
	defer p.ended.now()
	buf := make([]byte, 1<<10)
	for p.err == nil {
		if _, p.err = p.Read(buf); p.err == nil {
			p.greeted.now()
		}
	}
	p.at = time.Now()
}

// silence is what a demo has seen of its silent peers: the one of replica a from
// the peer's side, the one of replica b from the side of Stop.
type silence struct {
	ended bool // the peer of a has seen an end
	at    time.Time
	err   error // see silentPeer

	held   time.Duration // how long Stop of b had run when it returned by itself, or else when the peer hung up
	itself bool          // it has returned by itself
	after  time.Duration // how long it went on when the peer had hung up
}

// silent connects a silent peer to each replica, if the scenario has them.
func (s *stage) silent() error {
	if !s.config.scenario.silent {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(s.triggered, connectTime, fmt.Errorf("the server has not spoken within %v", connectTime))
	defer cancel()
	for _, r := range []*replica{s.a, s.b} {
		p, err := dialSilent(ctx, r)
		if err != nil {
			return err
		}
		s.peers = append(s.peers, p)
	}
	return nil
}

// silence returns how the silent peers have fared, once Run has returned and the
// clients have gone; nil if there are none. It stops replica b, which is bare grpc.
func (s *stage) silence(stopB func()) *silence {
	if len(s.peers) < 2 {
		return nil
	}
	a, b, seen := s.peers[0], s.peers[1], new(silence)
	select {
	case <-a.ended.Done():
		seen.ended, seen.at, seen.err = true, a.at, a.err
	case <-time.After(partTime):
	}

	s.screen.print(fmt.Sprintf("  -> Stop on replica b, which is bare grpc: its silent peer hangs up after %v\n", bareTime))
	begun, stopped := time.Now(), newMoment()
	go func() {
		defer stopped.now()
		stopB()
	}()
	select {
	case <-stopped.Done():
		seen.held, seen.itself = time.Since(begun), true
	case <-time.After(bareTime):
		hungUp := time.Now()
		seen.held = hungUp.Sub(begun)
		_ = b.Close() // nothing was ever written
		<-stopped.Done()
		seen.after = time.Since(hungUp)
	}
	return seen
}

// hangUpSilent closes the silent peers' connections.
func (s *stage) hangUpSilent() {
	for _, p := range s.peers {
		_ = p.Close() // nothing was ever written
	}
}

// text says it in a line for each replica.
func (s *silence) text(r report.Report) string {
	return "replica a  with the controller: " + s.ofController(r) + "\nreplica b  bare grpc: " + s.ofBare() + "\n"
}

func (s *silence) ofController(r report.Report) string {
	if !s.ended {
		return "the peer was still connected when Run had returned"
	}
	what := "EOF"
	if !errors.Is(s.err, io.EOF) {
		what = s.err.Error()
	}
	text := fmt.Sprintf("the peer saw %s at %s", what, seconds(s.at.Sub(r.Triggered)))
	drain := slices.IndexFunc(r.Steps, func(step report.Step) bool {
		return step.Kind == report.KindPhase && step.Phase == lastcall.PhaseDrain
	})
	if drain >= 0 && !s.at.Before(r.Steps[drain].Start) {
		text += fmt.Sprintf(", %s into the drain", seconds(s.at.Sub(r.Steps[drain].Start)))
	}
	return text
}

func (s *silence) ofBare() string {
	if s.itself {
		return fmt.Sprintf("Stop returned by itself after %s", seconds(s.held))
	}
	return fmt.Sprintf("Stop had not returned after %s, when the peer hung up; it returned %v later", seconds(s.held), s.after.Round(time.Microsecond))
}
