package connset

import (
	"context"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/internal/sock"
)

// closeTime bounds how long Close lets Accept take what waits in the backlog, and how long
// each attempt to wake an Accept that hangs may take.
const closeTime = 10 * time.Millisecond

// acceptTime bounds how long Close waits for a listener of package net, and then for calls of
// its Accept: they return at once unless its descriptor was made blocking with File().Fd(),
// and need only the processor, to hand over what they have accepted.
const acceptTime = 100 * time.Millisecond

// maxWakes is how often a listener is dialled to wake its Accept: another process that has
// the same socket may take the connection instead.
const maxWakes = 5

// Close makes Accept return, and closes the listener inside on another goroutine. It
// waits for that only if the listener is one of package net, and at most twice acceptTime, so
// that in the usual case peers are refused when it returns. The error of the listener is
// dropped. A second call does nothing. Close always returns nil.
//
// The file of a unix socket is removed only if it is still the one that was there when
// the Listener was made, or at the first Accept or Addr if the listener inside is not of
// package net. If the user has called SetUnlinkOnClose(false), it stays.
//
// The kernel resets connections that wait in the backlog when the listener is closed, so
// Close lets Accept take them first, for closeTime at most, if Accept was ever called and
// the listener shows its descriptor.
func (l *Listener) Close() error {
	l.takeBacklog()
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	if first && l.inside == 0 {
		close(l.left)
	}
	l.mu.Unlock()
	if !first {
		return nil
	}
	defer close(l.over)
	close(l.closing)
	if l.inner == nil {
		return nil
	}
	accepted := l.calls.Run(callAccept, l.awaitAccept) // names an Accept that does not return
	closed := l.calls.Run(callClose, l.closeInner)
	if l.isNet() && foreign.Within(closed, acceptTime) {
		foreign.Within(accepted, acceptTime)
	}
	return nil
}

// takeBacklog blocks until no connection waits to be accepted, for closeTime at most.
func (l *Listener) takeBacklog() {
	lis, ok := l.inner.(syscall.Conn)
	if !ok || !foreign.IsClosed(l.accepting) || l.Closed() {
		return
	}
	taken := func() {
		for began := time.Now(); sock.Waits(lis) && time.Since(began) < closeTime; {
			time.Sleep(closeTime / 100)
		}
	}
	if l.isNet() {
		taken()
		return
	}
	foreign.Within(l.calls.Run(CallSyscallConn, taken), closeTime)
}

// isNet reports whether the listener inside is one of package net.
func (l *Listener) isNet() bool {
	switch l.inner.(type) {
	case *net.TCPListener, *net.UnixListener:
		return true
	}
	return false
}

// closeInner closes the listener inside.
func (l *Listener) closeInner() {
	if l.blocks() {
		l.wake() // first: of a unix socket the path is gone when it is closed
	}
	if at := l.where(); at.isAnothers() {
		unix, ok := l.inner.(interface{ SetUnlinkOnClose(bool) })
		if !ok {
			l.closeBeside(at.address)
			return
		}
		unix.SetUnlinkOnClose(false)
	}
	_ = l.inner.Close() // nothing depends on its error
}

// closeBeside closes a listener that may remove a file which is another's, and that cannot
// be told not to: the file gets a second name meanwhile, and for some microseconds clients
// of the other may find nothing. Without a second name the listener stays open.
func (l *Listener) closeBeside(path string) {
	second := path + "." + strconv.Itoa(os.Getpid())
	if err := os.Link(path, second); err != nil { // also if another goroutine is about to do the same
		return
	}
	closed := l.calls.Run(callClose, func() { _ = l.inner.Close() })
	foreign.Within(closed, closeTime) // the file goes first
	_ = os.Link(second, path)         // fails if it is still there
	_ = os.Remove(second)
}

// blocks reports whether the listener inside shows in time that its descriptor is
// blocking.
func (l *Listener) blocks() bool {
	s, ok := l.inner.(syscall.Conn)
	if !ok {
		return false
	}
	var blocks bool
	asked := l.calls.Run(CallSyscallConn, func() { blocks = sock.Blocks(s) })
	return foreign.Within(asked, closeTime) && blocks
}

// awaitAccept blocks until every call of the inner Accept has returned. A listener that
// does not show its descriptor may hang in the system call all the same.
func (l *Listener) awaitAccept() {
	if !foreign.Within(l.left, 2*closeTime) {
		l.wake()
		<-l.left
	}
}

// wake makes a call of the inner Accept that hangs in the system call return, by dialling
// the listener: nothing else can without harm to a process that has the same socket. The
// connection is closed at once, at both ends.
func (l *Listener) wake() {
	at := l.where()
	if !strings.HasPrefix(at.network, "tcp") && !strings.HasPrefix(at.network, "unix") {
		return
	}
	l.waking.Store(true)
	dialer := net.Dialer{Timeout: closeTime}
	for range maxWakes {
		if foreign.IsClosed(l.left) {
			return
		}
		l.dialing.Lock()
		c, err := dialer.DialContext(context.Background(), at.network, at.address)
		switch {
		case err == nil:
			l.woken = append(l.woken, c.LocalAddr().String())
		case os.IsTimeout(err): // the kernel may have completed it all the same
			l.woken = append(l.woken, anyAddress)
		}
		l.dialing.Unlock()
		if err != nil {
			return
		}
		foreign.Within(l.left, closeTime)
		_ = c.Close() // it has served
	}
}

// hasWoken reports whether a connection that was accepted is one that was dialled to wake
// Accept, or may be one. Over TCP the peer's address tells; others have none.
func (l *Listener) hasWoken(c net.Conn) bool {
	if !l.waking.Load() {
		return false
	}
	if _, known := c.(*net.TCPConn); !known {
		return true
	}
	l.dialing.Lock() // until the address is known
	defer l.dialing.Unlock()
	return slices.Contains(l.woken, c.RemoteAddr().String()) || slices.Contains(l.woken, anyAddress)
}

// anyAddress stands for an address that is not known.
const anyAddress = "?"

// place is where a listener listens, and the file of its socket at the time it was asked.
type place struct {
	addr             net.Addr // nil: it is not known
	network, address string
	file             fs.FileInfo // nil: none
}

func placeOf(lis net.Listener) (p place) {
	defer func() { _ = recover() }() // then it is not known
	addr := lis.Addr()
	if foreign.IsNil(addr) {
		return place{}
	}
	p = place{addr: addr, network: addr.Network(), address: addr.String()}
	if strings.HasPrefix(p.network, "unix") {
		p.file, _ = os.Lstat(p.address) // nil for an abstract socket
	}
	return p
}

// begin is called by the first Accept. A listener that its owner has closed will accept
// nothing; only one of package net can be asked for that without a risk.
func (l *Listener) begin() {
	l.ask()
	if s, ok := l.inner.(syscall.Conn); ok && l.isNet() && sock.Closed(s) {
		return
	}
	close(l.accepting) // last: whoever waits for it may close the listener at once
	if l.hooks.Accepting != nil {
		l.hooks.Accepting()
	}
}

// ask asks a listener that is not of package net for its place, once, and waits at most
// closeTime for the answer.
func (l *Listener) ask() {
	if l.isNet() || l.inner == nil {
		return
	}
	l.asking.Do(func() {
		asked := l.calls.Run(callAddr, func() {
			p := placeOf(l.inner)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.place = p
		})
		foreign.Within(asked, closeTime)
	})
}

func (l *Listener) where() place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.place
}

// isAnothers reports whether there is a file at the address, and it is another one. File
// systems give the number of a removed file to the next, so the time counts as well: that
// of a socket is when it was bound. Another process may put its file there right after
// the answer: closing takes microseconds from here, but no lock keeps others out.
func (p place) isAnothers() bool {
	if p.file == nil {
		return false
	}
	now, err := os.Lstat(p.address) // as it was given: package net removes what that names now
	return err == nil && (!os.SameFile(now, p.file) || !now.ModTime().Equal(p.file.ModTime()))
}
