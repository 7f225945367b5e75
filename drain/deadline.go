package drain

import (
	"errors"
	"fmt"
	"time"
)

// firstTime is how long after WatchConn was called a connection may send its first byte in
// the drain.
const firstTime = time.Second

// limit is one of the two deadlines of a connection, guarded by its mutex.
type limit struct {
	at      time.Time // as our user has set it
	version int       // changes with what is wanted
}

// SetDeadline sets the deadlines for Read and Write.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline sets the deadline for Read. It does not keep the drain from ending
// an idle connection, nor the timer from ending any.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.reads.at = t
	c.reads.version++
	c.mu.Unlock()
	return c.setReadDeadline()
}

// SetWriteDeadline sets the deadline for Write. The timer makes it expire at once; a deadline
// set after that holds, so that a handler can say goodbye.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	c.writes.at = t
	c.writes.version++
	c.goodbye = c.cancelled
	c.mu.Unlock()
	return c.setWriteDeadline()
}

// drain ends the connection if it is idle.
func (c *Conn) drain() {
	c.mu.Lock()
	c.draining = true
	c.reads.version++
	idle := c.idle
	if first := time.Now().Add(c.handle.group.tracker.Within(firstTime)); first.Before(c.first) {
		c.first = first
	}
	c.mu.Unlock()
	if idle {
		c.wake(c.setReadDeadline)
	}
}

// cancel begins to end the connection: whoever reads or writes is to be woken.
func (c *Conn) cancel(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancelled, c.cause = true, cause
	c.reads.version++
	c.writes.version++
}

// interrupt wakes whoever reads or writes, after cancel.
func (c *Conn) interrupt() { c.wake(c.setWriteDeadline, c.setReadDeadline) }

// wake tells the connection inside of deadlines, and does not block.
func (c *Conn) wake(deadlines ...func() error) {
	set := func() {
		for _, set := range deadlines {
			if err := set(); err != nil && !c.kept.Closing() {
				c.handle.group.note(callDeadline, err)
			}
		}
	}
	if c.kept.Direct() { // its methods do not hang
		set()
		return
	}
	c.handle.group.calls.Run(callDeadline, set)
}

// setReadDeadline has the connection inside use the deadline that is wanted.
func (c *Conn) setReadDeadline() error {
	return c.set(&c.reads, c.Conn.SetReadDeadline, func() time.Time {
		at := c.reads.at
		switch {
		case c.cancelled || c.over():
			at = past()
		case c.draining && c.idle && (at.IsZero() || c.first.Before(at)):
			at = c.first
		default:
			return at
		}
		c.woken++
		return at
	})
}

// setWriteDeadline does the same for writes.
func (c *Conn) setWriteDeadline() error {
	return c.set(&c.writes, c.Conn.SetWriteDeadline, func() time.Time {
		if c.cancelled && !c.goodbye {
			return past()
		}
		return c.writes.at
	})
}

// set sets a deadline to what wanted returns, which is called with the mutex held. Several
// goroutines may do so at the same time: the one whose call comes last sees that what
// it has set is old.
func (c *Conn) set(l *limit, inside func(time.Time) error, wanted func() time.Time) error {
	for {
		c.mu.Lock()
		version, at := l.version, wanted()
		c.mu.Unlock()
		if err := survive(inside, at); err != nil {
			return err
		}
		c.mu.Lock()
		current := version == l.version
		c.mu.Unlock()
		if current {
			return nil
		}
	}
}

// survive makes a panic of the connection inside an error: our user has not asked for
// every call.
func survive(inside func(time.Time) error, at time.Time) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("drain: setting a deadline %s", (&PanicError{Value: v}).how())
		}
	}()
	return inside(at)
}

// wasWoken reports whether a Read that has timed out may have been woken by us. If it
// was its user's deadline after all, it times out once more.
func (c *Conn) wasWoken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.woken == 0 {
		return false
	}
	c.woken--
	return true
}

// past is a deadline that is over, in virtual time, too.
func past() time.Time { return time.Unix(1, 0) }
