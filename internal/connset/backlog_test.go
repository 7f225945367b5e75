//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package connset_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/internal/connset"
	"github.com/lastcall-go/lastcall/internal/foreign"
)

// Connections that wait to be accepted when Close is called are accepted. Close waits for
// that for 10 ms only, so the test has several tries.
func TestBacklogIsTaken(t *testing.T) {
	for name, wrap := range map[string]func(net.Listener) net.Listener{
		"tcp":         func(lis net.Listener) net.Listener { return lis },
		"unix":        func(lis net.Listener) net.Listener { return lis },
		"tcp wrapped": func(lis net.Listener) net.Listener { return keepAlive{lis.(*net.TCPListener)} },
	} {
		t.Run(name, func(t *testing.T) {
			network, _, _ := strings.Cut(name, " ")
			least := 5
			for range 20 {
				if least = min(least, leftInBacklog(t, network, wrap)); least == 0 {
					return
				}
			}
			t.Errorf("at least %d of 5 connections were left", least)
		})
	}
}

// keepAlive is a listener around one of package net that shows its descriptor.
type keepAlive struct{ *net.TCPListener }

func (l keepAlive) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return c, c.SetKeepAlive(true)
}

// leftInBacklog returns how many of 5 connections that come while the server is busy are
// not accepted.
func leftInBacklog(t *testing.T, network string, wrap func(net.Listener) net.Listener) int {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	busy, came := make(chan struct{}), make(chan struct{}, 10)
	set := connset.New(wrap(lis), connset.Options{Owner: "test", Calls: new(foreign.Calls), HandshakeTime: time.Minute, Accepted: func(net.Conn) {
		came <- struct{}{}
		<-busy
	}})
	left := make(chan int)
	go func() {
		n := 5
		for {
			c, err := set.Accept()
			if err != nil {
				left <- n
				return
			}
			n--
			_ = c.Close()
		}
	}()
	for range 5 {
		c, err := (&net.Dialer{}).DialContext(t.Context(), network, lis.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	<-came
	close(busy)
	_ = set.Close()
	return <-left
}

// A backlog that is not taken delays Close by some milliseconds.
func TestBacklogThatStays(t *testing.T) {
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	set := connset.New(lis, connset.Options{Owner: "test", Calls: new(foreign.Calls), HandshakeTime: time.Minute})
	for range 2 { // the second one waits
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", lis.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	c, err := set.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	closed := make(chan struct{})
	go func() { _ = set.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("Close waits for a server that accepts nothing")
	}
}
