package httpadapter

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/sock"
)

// lingerTime is for how long a peer that is lingered for may be silent before its
// connection is closed, once it has acknowledged everything. It is as long as net/http
// waits.
const lingerTime = time.Second

// maxLinger is for how long a peer is lingered for that goes on talking.
const maxLinger = 5 * time.Second

// deliver tells the peer that nothing comes any more, and blocks until it has
// acknowledged everything, where that can be known, or has not within a time (0: any),
// or until somebody else closes the connection. What comes meanwhile is read and
// dropped: a close with unread input would reset the connection, and with it what is on
// the way. So a process may end right afterwards, and its network with it.
//
// Some peers have to write before they read what they have: one of HTTP/2 says how much
// it has read, and some, Go's client among them, drop what they have not read if they
// cannot say so; and one that uploads may read the answer only when it has written
// everything. Those are lingered for until they close the connection, or are silent for
// lingerTime, but no longer than most says then.
func deliver(tcp *net.TCPConn, within time.Duration, lingers bool, most func() time.Duration) {
	_ = tcp.SetDeadline(time.Time{}) // one of package tls, or of net/http, may have passed
	if tcp.CloseWrite() != nil {
		return // the connection is broken
	}
	if within > 0 {
		late := time.AfterFunc(within, func() { sock.Finish(tcp) }) // no deadline: others may set some
		defer late.Stop()
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	var limit atomic.Pointer[time.Time]
	read := make(chan struct{})
	go func() {
		defer close(read)
		var buf [4 << 10]byte
		for {
			if _, err := tcp.Read(buf[:]); err != nil {
				return
			}
			if at := limit.Load(); at != nil {
				_ = tcp.SetReadDeadline(silence(*at))
			}
		}
	}()
	// The runtime's poller wakes this when the state of the connection changes, which
	// it does when the peer acknowledges the FIN, or when the connection is closed.
	if err := raw.Write(acknowledged); err == nil && lingers {
		at := time.Now().Add(most())
		limit.Store(&at)
		_ = tcp.SetReadDeadline(silence(at))
	} else {
		_ = tcp.SetReadDeadline(time.Unix(1, 0))
	}
	<-read
}

// silence returns until when a peer may say nothing.
func silence(limit time.Time) time.Time {
	if at := time.Now().Add(lingerTime); at.Before(limit) {
		return at
	}
	return limit
}
