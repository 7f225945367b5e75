package sock_test

import (
	"net"
	"testing"

	"github.com/lastcall-go/lastcall/internal/sock"
)

// wrapper is a connection around another one.
type wrapper struct {
	net.Conn
	below func() net.Conn
}

func (w wrapper) NetConn() net.Conn { return w.below() }

func around(c net.Conn, times int) net.Conn {
	for range times {
		below := c
		c = wrapper{c, func() net.Conn { return below }}
	}
	return c
}

// The descriptor is found below some connections, and nobody is asked for ever.
func TestControl(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	tcp, err := new(net.Dialer).DialContext(t.Context(), "tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	memory, _ := net.Pipe()
	defer memory.Close()
	asked := 0
	var itself wrapper
	itself = wrapper{memory, func() net.Conn { asked++; return itself }}
	for name, tt := range map[string]struct {
		conn net.Conn
		want bool
	}{
		"a socket":         {tcp, true},
		"around it":        {around(tcp, 3), true},
		"far around it":    {around(tcp, 100), false},
		"memory":           {memory, false},
		"around memory":    {around(memory, 3), false},
		"around nothing":   {around(nil, 1), false},
		"nothing":          {nil, false},
		"around itself":    {itself, false},
		"around around it": {around(itself, 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			called := false
			sock.Control(tt.conn, func(fd uintptr) { called = true })
			if called != tt.want {
				t.Errorf("called: %v, want %v", called, tt.want)
			}
		})
	}
	if asked == 0 || asked > 100 {
		t.Errorf("one that is below itself was asked %d times", asked)
	}
}
