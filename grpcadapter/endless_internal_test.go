package grpcadapter

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/inflight"
)

// busyStream is a grpc.ServerStream on which the next request has come already.
type busyStream struct {
	grpc.ServerStream
	before func() // RecvMsg returns
	read   int
}

func (s *busyStream) RecvMsg(any) error {
	s.read++
	if s.before != nil {
		s.before()
	}
	return nil
}

func (s *busyStream) SendMsg(any) error { return nil }

func newBusyStream(t *testing.T, asks bool) (*endlessStream, *busyStream) {
	t.Helper()
	inner := &busyStream{}
	m := &method{server: newServer(nil), label: inflight.Label{Kind: lastcall.WorkBidiStream}, endless: true}
	r := &rpc{Context: context.Background(), method: m}
	r.own = newOwnContext(r)
	return newEndlessStream(&stream{ServerStream: inner, rpc: r}, asks), inner
}

func wantUnavailable(t *testing.T, what string, err error) {
	t.Helper()
	if status.Code(err) != codes.Unavailable {
		t.Errorf("%s returned %v, want Unavailable", what, err)
	}
}

// A stream is concluded in the instant in which it is idle, and not a moment later,
// when its handler may have the next request: what a handler was given it can answer.
func TestConcludedWhenIdle(t *testing.T) {
	t.Run("between two requests", func(t *testing.T) {
		e, inner := newBusyStream(t, true)
		if err := e.RecvMsg(nil); err != nil {
			t.Fatal(err)
		}
		taken := e.takeWhenIdle()
		if err := e.SendMsg(nil); err != nil || foreign.IsClosed(taken) {
			t.Errorf("the answer to a request that was given: %v; concluded before: %v", err, foreign.IsClosed(taken))
		}
		wantUnavailable(t, "RecvMsg", e.RecvMsg(nil))
		if inner.read != 1 || !foreign.IsClosed(taken) || !e.rpc.is(concluded) {
			t.Errorf("%d requests were read, want 1; concluded: %v", inner.read, foreign.IsClosed(taken))
		}
		wantUnavailable(t, "SendMsg", e.SendMsg(nil))
		if !e.stopTaking() {
			t.Error("it is not known that the stream was concluded")
		}
	})
	t.Run("a request comes in that instant", func(t *testing.T) {
		e, inner := newBusyStream(t, true)
		inner.before = func() {
			if !foreign.IsClosed(e.takeWhenIdle()) {
				t.Error("a stream that waits for a request is not idle")
			}
		}
		wantUnavailable(t, "RecvMsg", e.RecvMsg(nil))
	})
	t.Run("a message is sent", func(t *testing.T) {
		e, _ := newBusyStream(t, false)
		e.busy = true
		taken := e.takeWhenIdle()
		if err := e.SendMsg(nil); err != nil || !foreign.IsClosed(taken) {
			t.Errorf("SendMsg returned %v; concluded: %v", err, foreign.IsClosed(taken))
		}
		wantUnavailable(t, "SendMsg", e.SendMsg(nil))
		wantUnavailable(t, "RecvMsg", e.RecvMsg(nil))
	})
	t.Run("nobody waits any more", func(t *testing.T) {
		e, _ := newBusyStream(t, true)
		e.busy = true
		taken := e.takeWhenIdle()
		if e.stopTaking() {
			t.Error("concluded while busy")
		}
		if err := e.RecvMsg(nil); err != nil || foreign.IsClosed(taken) || !e.rpc.is(running) {
			t.Errorf("RecvMsg returned %v; concluded: %v", err, foreign.IsClosed(taken))
		}
	})
}
