package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// pipePeer is a silent peer, and its replica's end of the connection.
func pipePeer() (*silentPeer, net.Conn) {
	ours, theirs := net.Pipe()
	return newSilentPeer(ours), theirs
}

// TestSilence: the demo looks at the peer of a, and then for bareTime at how Stop of
// b fares with its own.
func TestSilence(t *testing.T) {
	const after = 20 * time.Millisecond
	tests := map[string]struct {
		aEnds, bStops bool // without the peer's doing
		took          time.Duration
		want          silence
	}{
		"as it should be":        {true, false, bareTime + after, silence{ended: true, err: io.EOF, held: bareTime, after: after}},
		"a leaves the peer open": {false, false, partTime + bareTime + after, silence{held: bareTime, after: after}},
		"b does not wait":        {true, true, 300 * time.Millisecond, silence{ended: true, err: io.EOF, held: 300 * time.Millisecond, itself: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, connA := pipePeer()
				b, connB := pipePeer()
				screen, out := quietScreen(false)
				s := &stage{screen: screen, peers: []*silentPeer{a, b}}
				defer s.hangUpSilent()
				start := time.Now()
				if tt.aEnds {
					connA.Close()
					tt.want.at = start
				}
				got := s.silence(func() {
					if tt.bStops {
						time.Sleep(300 * time.Millisecond)
						return
					}
					if n, err := connB.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
						t.Errorf("the peer of b has sent %d bytes, and ended with %v", n, err)
					}
					time.Sleep(after)
				})
				if took := time.Since(start); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
				if got == nil || *got != tt.want {
					t.Errorf("it has seen %+v, want %+v", got, tt.want)
				}
				if want := "hangs up after 1s\n"; !strings.HasSuffix(out.String(), want) {
					t.Errorf("the screen shows %q, want ...%q", out, want)
				}
			})
		})
	}
	if got := (&stage{}).silence(func() { t.Error("it stopped b") }); got != nil {
		t.Errorf("without silent peers it has seen %+v", got)
	}
}

func TestSilenceText(t *testing.T) {
	trigger := time.Now()
	at := func(d time.Duration) time.Time { return trigger.Add(d) }
	got := report.Report{Triggered: trigger, Steps: []report.Step{
		{Kind: report.KindPhase, Phase: lastcall.PhaseSettle, Start: at(0)},
		{Kind: report.KindPhase, Phase: lastcall.PhaseDrain, Start: at(time.Second)},
		{Kind: report.KindCall, Phase: lastcall.PhaseDrain, Start: at(time.Second)},
	}}
	tests := map[string]struct {
		seen silence
		want string
	}{
		"as it should be": {
			silence{ended: true, at: at(2001 * time.Millisecond), err: io.EOF, held: bareTime, after: 312 * time.Microsecond},
			"replica a  with the controller: the peer saw EOF at 2.001s, 1.001s into the drain\n" +
				"replica b  bare grpc: Stop had not returned after 1.000s, when the peer hung up; it returned 312µs later\n",
		},
		"a reset, too early, and b does not wait": {
			silence{ended: true, at: at(time.Second / 2), err: syscall.ECONNRESET, held: 80 * time.Millisecond, itself: true},
			"replica a  with the controller: the peer saw " + syscall.ECONNRESET.Error() + " at 0.500s\n" +
				"replica b  bare grpc: Stop returned by itself after 0.080s\n",
		},
		"a leaves the peer open": {
			silence{held: bareTime},
			"replica a  with the controller: the peer was still connected when Run had returned\n" +
				"replica b  bare grpc: Stop had not returned after 1.000s, when the peer hung up; it returned 0s later\n",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.seen.text(got); got != tt.want {
				t.Errorf("it says\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// TestDialSilent: a peer counts once the server has spoken. One that never does, or
// that hangs up first, is an error, and the connection is closed.
func TestDialSilent(t *testing.T) {
	errTired := errors.New("tired of waiting")
	tests := map[string]struct {
		serve func(net.Conn, context.CancelCauseFunc)
		want  error
	}{
		"it speaks":    {func(c net.Conn, _ context.CancelCauseFunc) { _, _ = c.Write([]byte("hello")) }, nil},
		"it hangs up":  {func(c net.Conn, _ context.CancelCauseFunc) { c.Close() }, io.EOF},
		"it is silent": {func(_ net.Conn, tire context.CancelCauseFunc) { tire(errTired) }, errTired},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := newReplica(replicaA, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.lis.Close()
			ctx, tire := context.WithCancelCause(t.Context())
			defer tire(nil)
			served := make(chan net.Conn, 1)
			go func() {
				defer close(served)
				if conn, err := r.lis.Accept(); err == nil {
					tt.serve(conn, tire)
					served <- conn
				}
			}()
			p, err := dialSilent(ctx, r)
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			conn := <-served
			defer conn.Close()
			if err == nil {
				conn.Close()
				<-p.ended.Done()
				if !errors.Is(p.err, io.EOF) {
					t.Errorf("the peer ended with %v", p.err)
				}
				p.Close()
			} else if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("the connection is open after the error: read %d bytes, %v", n, err)
			}
		})
	}
}
