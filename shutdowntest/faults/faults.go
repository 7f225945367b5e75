// Package faults has what misbehaves on purpose: listeners, connections, peers, pipes,
// signals, and functions that hang, panic or end their goroutine. Tests put it between a
// server and what it normally meets:
//
//	over := make(chan struct{})
//	defer close(over)
//	lis = &faults.Listener{Listener: lis, Faults: faults.In{faults.Close: faults.Hang(over)}}
//
// Nothing here ends by itself: the test that makes something hang lets it go. Everything works
// in bubbles of testing/synctest but for sockets and pipes of the kernel.
package faults

import (
	"context"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

// A Fault is what happens in a call before the call does what it is for, if it ever does.
// A nil Fault does nothing. It may be called concurrently.
type Fault func()

// Hang returns a Fault that blocks until the channel is closed; nil: for ever.
func Hang(over <-chan struct{}) Fault { return func() { <-over } }

// Slow returns a Fault that takes its time. Do not give it to the reads of a gRPC client in
// a bubble: once a write has failed, grpc-go begins its call again and again until the reader
// hears of it, and time does not pass meanwhile.
func Slow(d time.Duration) Fault { return func() { time.Sleep(d) } }

// Panic returns a Fault that panics with v.
func Panic(v any) Fault { return func() { panic(v) } }

// Goexit is a Fault that ends the goroutine, as t.FailNow does.
func Goexit() { runtime.Goexit() }

// Once returns a Fault for the first call only: others do not wait for it.
func Once(f Fault) Fault {
	var used atomic.Bool
	return func() {
		if used.CompareAndSwap(false, true) {
			f.Do()
		}
	}
}

// Do runs the Fault, unless it is nil.
func (f Fault) Do() {
	if f != nil {
		f()
	}
}

// Func returns the Fault as a closer, flusher, announcer or worker, which ignores its
// context, and returns nil if the Fault returns.
func (f Fault) Func() func(context.Context) error {
	return func(context.Context) error {
		f.Do()
		return nil
	}
}

// Op names the calls of a listener or a connection in which something can go wrong.
type Op string

// The calls. Deadline stands for the three methods that set one, Socket for SyscallConn,
// and Below for NetConn.
const (
	Accept     Op = "Accept"
	Read       Op = "Read"
	Write      Op = "Write"
	Close      Op = "Close"
	Deadline   Op = "Deadline"
	Addr       Op = "Addr"
	LocalAddr  Op = "LocalAddr"
	RemoteAddr Op = "RemoteAddr"
	Socket     Op = "SyscallConn"
	Below      Op = "NetConn"
)

// In says what goes wrong in which call.
type In map[Op]Fault

// Do runs the Fault of a call, if it has one.
func (in In) Do(op Op) { in[op].Do() }

// Signals are a source of signals that are no signals of the process: its channel goes
// where that of signal.Notify would.
type Signals chan os.Signal

// NewSignals returns a source that holds so many signals which nothing has received.
func NewSignals(room int) Signals { return make(Signals, room) }

// Send sends a signal, and drops it if there is no room, as package signal does. It does
// not block, and reports whether there was room.
func (s Signals) Send(sig os.Signal) bool {
	select {
	case s <- sig:
		return true
	default:
		return false
	}
}
