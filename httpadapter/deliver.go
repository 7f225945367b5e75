package httpadapter

import (
	"net"
	"sync/atomic"
	"time"
)

// lingerTime is for how long a peer of HTTP/2 may be silent before its connection is
// closed, once it has acknowledged everything. It is as long as net/http waits.
const lingerTime = time.Second

// deliver tells the peer that nothing comes any more, and blocks until it has
// acknowledged everything, where that can be known, or until somebody else closes the
// connection. What comes meanwhile is read and dropped: a close with unread input would
// reset the connection, and with it what is on the way. So a process may end right
// afterwards, and its network with it.
//
// A peer of HTTP/2 also says while it reads how much it has read, and some, Go's client
// among them, drop what they have not read if they cannot say so. So it is waited for
// until it closes the connection, or is silent for lingerTime.
func deliver(tcp *net.TCPConn, http2 bool) {
	_ = tcp.SetDeadline(time.Time{}) // one of package tls, or of net/http, may have passed
	if tcp.CloseWrite() != nil {
		return // the connection is broken
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	var lingers atomic.Bool
	read := make(chan struct{})
	go func() {
		defer close(read)
		var buf [4 << 10]byte
		for {
			if _, err := tcp.Read(buf[:]); err != nil {
				return
			}
			if lingers.Load() {
				_ = tcp.SetReadDeadline(time.Now().Add(lingerTime))
			}
		}
	}()
	// The runtime's poller wakes this when the state of the connection changes, which
	// it does when the peer acknowledges the FIN.
	_ = raw.Write(acknowledged)
	if http2 {
		lingers.Store(true)
		_ = tcp.SetReadDeadline(time.Now().Add(lingerTime))
	} else {
		_ = tcp.SetReadDeadline(time.Unix(1, 0))
	}
	<-read
}
