package controller

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall/report"
)

// signals is where a run's signals come from.
type signals struct {
	from  <-chan os.Signal
	ours  bool        // from is fed by package os/signal
	heard []os.Signal // what it is fed with
	force []os.Signal // those that force a shutdown that has begun
	stop  func()      // gives the signals back to the platform
}

// listen subscribes to the signals of a config. A signal that arrives while the
// loop is at work waits in the channel.
func listen(c config) (signals, error) {
	from := c.from()
	s := signals{from: from.channel, heard: from.signals, force: []os.Signal{os.Interrupt}, stop: func() {}}
	if c.forceOn != nil {
		s.force = *c.forceOn
	}
	switch {
	case s.from != nil:
	case len(s.heard) == 0: // Notify without signals would mean all of them
	case inBubble():
		return s, errBubble
	default:
		ch := make(chan os.Signal, 8)
		signal.Notify(ch, s.heard...)
		takeOver(ch, s.heard)
		s.from, s.ours, s.stop = ch, true, func() { signal.Stop(ch) }
	}
	return s, nil
}

var errBubble = errors.New("controller: signals of the process cannot be heard in a testing/synctest bubble: " +
	"use WithSignalChannel(ch), which lets the test send them, or WithSignals()")

// from returns where the signals that trigger come from.
func (s *settings) from() source {
	if s.triggers != nil {
		return *s.triggers
	}
	return source{signals: []os.Signal{syscall.SIGTERM, os.Interrupt}}
}

// meaning is what a signal asks for.
type meaning uint8

const (
	_        meaning = iota
	triggers         // it is the first request
	repeats          // it is the same request as the one before
	forces           // it asks for more haste
	late             // the shutdown has begun, and it does not force
)

// sameRequest and sameKey bound for how long a signal repeats a request.
const (
	sameRequest = time.Second
	sameKey     = 50 * time.Millisecond
)

// meaning returns what a signal asks for that came in an instant. What arrives soon
// after the trigger is the same request, sent by a wrapper or to the whole process
// group as well. A key that was pressed twice is two requests, and so is a signal after
// the one that forced.
func (s *signals) meaning(c *Controller, got os.Signal, at time.Time) meaning {
	t, force := c.trigger.Load(), c.forceAsked.Load()
	window := min(sameRequest, c.config.budget.Total/10)
	switch {
	case t == nil:
		return triggers
	case force != nil:
		t, window = &trigger{at: force.at}, min(sameKey, window)
	case s.typed(got):
		window = min(sameKey, window)
	}
	switch {
	case at.Sub(t.at) < window:
		return repeats
	case force != nil || !slices.Contains(s.force, got):
		return late
	default:
		return forces
	}
}

// signalled takes in a signal.
func (r *run) signalled(got os.Signal, open bool) {
	if !open {
		r.signals.end()
		return
	}
	now := time.Now()
	switch what := r.signals.meaning(r.Controller, got, now); what {
	case triggers:
		r.request(trigger{at: now, cause: &report.SignalError{Signal: got}, typed: r.signals.typed(got)})
	case forces:
		r.forceNow(force{at: now, by: "signal: " + nameOf(got) + ": "})
	case late:
		if r.signals.ours && r.forced && slices.Contains(r.signals.force, got) { // it came as the signals were to be given back
			r.giveBackAt = time.Time{}
			r.signals.giveBack()
			raise(got)
			return
		}
		fallthrough
	default:
		r.ignore(ignored{got, what})
	}
}

// ignored is a signal that changed nothing.
type ignored struct {
	signal os.Signal
	what   meaning
}

// maxIgnored is how many of each meaning observers are told of: a source that never stops must
// not fill the log.
const maxIgnored = 10

// ignore tells of a signal that changes nothing.
func (r *run) ignore(s ignored) {
	r.takeIn() // another goroutine may just have triggered
	r.ignoredSignals[s.what]++
	n := r.ignoredSignals[s.what]
	if n > maxIgnored {
		return
	}
	text := fmt.Sprintf("%s: the same request as the one before", nameOf(s.signal))
	if s.what == late {
		text = fmt.Sprintf("%s: already shutting down: %s", nameOf(s.signal), r.untilWhen())
	}
	if n == maxIgnored {
		text += "; further ones are not told"
	}
	r.tellRequest("signal", text)
}

// nameOf returns a signal's name. A type of the user's may have any method for that, so
// it is not asked.
func nameOf(s os.Signal) string {
	if s, ok := s.(syscall.Signal); ok {
		return s.String()
	}
	return fmt.Sprintf("of type %T", s)
}

// process is what there is one of in a process, as package os/signal is.
var process struct {
	sync.Mutex
	released []*signals     // of runs that are over, until they are given back
	pipes    chan os.Signal // see hearPipes
	kept     bool           // see keepPipes
	counts   bool           // see countRefused
	refused  atomic.Int64   // how many log lines writers have refused
}

// takeOver ends the grace of runs that are over, and has ch get the signal that came in
// it. Raised again it would come twice: ch may have been subscribed when it came.
func takeOver(ch chan os.Signal, wanted []os.Signal) {
	process.Lock()
	all := process.released
	process.released = nil
	process.Unlock()
	for _, s := range all {
		switch again := s.end(); {
		case again == nil || slices.Contains(wanted, again) && len(ch) > 0:
		case slices.Contains(wanted, again):
			ch <- again
		default:
			raise(again)
		}
	}
}

// giveBackReleased gives signals back, unless a later run has taken them over.
func (s *signals) giveBackReleased() {
	process.Lock()
	i := slices.Index(process.released, s)
	if i >= 0 {
		process.released = slices.Delete(process.released, i, i+1)
	}
	process.Unlock()
	if i < 0 {
		return
	}
	if again := s.end(); again != nil { // it was meant for the platform
		raise(again)
	}
}

// end stops listening, and returns a signal of the process that has come before; nil if
// there is none. Other code that called signal.Notify still gets the signals; if there is
// none, the platform's default applies again.
func (s *signals) end() (again os.Signal) {
	s.stop()
	if s.ours && len(s.from) > 0 {
		again = <-s.from
	}
	s.from = nil
	return again
}

// giveBack gives the signals that force back to the platform. The others are heard on:
// there is no instant in which one of them would end the process.
func (s *signals) giveBack() {
	if !s.ours || s.from == nil {
		return
	}
	from, stop := s.from, s.stop
	s.from, s.stop = nil, func() {}
	s.heard = slices.DeleteFunc(slices.Clone(s.heard), func(one os.Signal) bool { return slices.Contains(s.force, one) })
	if len(s.heard) > 0 {
		ch := make(chan os.Signal, 8)
		signal.Notify(ch, s.heard...)
		s.from, s.stop = ch, func() { signal.Stop(ch) }
	}
	stop()
	for len(from) > 0 {
		if got := <-from; slices.Contains(s.force, got) { // it was meant for the platform
			raise(got)
			return
		}
	}
}

// release ends listening when Run returns. That costs two hand-overs to a thread of
// package runtime for each signal, 0.1 ms in all, and a process that ends now needs
// none of it; so the signals are the platform's only after grace. One that comes in
// between is raised again then: it can neither replace the exit code of a process
// that is about to exit, nor get lost in one that lives on.
func (s *signals) release() {
	if !s.ours || s.from == nil {
		s.end()
		return
	}
	for len(s.from) > 0 {
		<-s.from // it came before Run was over, and would have changed nothing
	}
	process.Lock()
	process.released = append(process.released, s)
	process.Unlock()
	time.AfterFunc(grace, s.giveBackReleased)
}

// raise sends a signal to this process.
func raise(s os.Signal) {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Signal(s) // where a process cannot signal itself there is nothing else to do
	}
}

// typed reports whether a signal was typed at a terminal, as far as that can be known:
// the process is in the foreground of the terminal that is its standard input. A SIGINT
// that another process sends to it there looks the same.
func (s *signals) typed(got os.Signal) bool {
	return s.ours && got == os.Interrupt && foreground()
}

// otherClock is how far from the system's time package time is where it has a clock of its
// own. A bubble's begins in the year 2000.
const otherClock = time.Minute

// inBubble reports whether the caller is in a testing/synctest bubble: package time then
// has a clock of its own. Package os/signal does not work there.
func inBubble() bool {
	for range 3 { // the clock may be set in the middle of this
		before, known := systemClock()
		now := time.Now().Round(0)
		after, _ := systemClock()
		if !known || now.After(before.Add(-otherClock)) && now.Before(after.Add(otherClock)) {
			return false
		}
	}
	return true
}
