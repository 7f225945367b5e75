package controller

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall/internal/pid1"
	"github.com/lastcall-go/lastcall/report"
)

// WithSignals sets the signals that trigger, instead of SIGTERM and SIGINT. Without arguments
// no signal triggers: other code owns them. [ForceOn] sets what further signals do. A signal
// that arrives in the first 10 ms after Run has returned is raised again when they are over:
// other code that listens with signal.Notify gets it twice.
//
// SIGHUP is not among the defaults: it ends the process at any time, as the platform does by
// default. Name it here to make it a trigger. That works even under nohup, which has it ignored
// otherwise.
//
// In a testing/synctest bubble package os/signal does not work: there Run returns an error, on
// Unix, unless WithSignals() or [WithSignalChannel] is given.
func WithSignals(signals ...os.Signal) Option {
	return register(func(c *config) {
		if c.canHear("WithSignals", signals) {
			c.join(config{settings: settings{triggers: &source{signals: slices.Clone(signals)}}})
		}
	})
}

// ForceOn sets the signals that force a shutdown that has begun, instead of SIGINT; without
// arguments none does. Each of them must trigger as well, or come from a channel.
//
// A signal within a second of the trigger, or within a tenth of Total if that is less, repeats
// the same request, whatever began the shutdown: a wrapper may pass on a signal that the whole
// process group has received. For a SIGINT typed at a terminal this time is 50 ms. A later
// signal of ForceOn forces as [Controller.Force] does, and any other changes nothing. From 50
// ms after a force on, however it was asked for, the signals of ForceOn do what the platform
// does by default. Observers are told what each signal has changed, but of no more than ten
// that repeat a request, and of no more than ten that come too late to change anything.
//
// Typed means that the process is in the foreground of the terminal that is its standard input.
// A SIGINT that another process sends to it there cannot be told apart.
func ForceOn(signals ...os.Signal) Option {
	return register(func(c *config) {
		if c.canHear("ForceOn", signals) {
			signals = slices.Clone(signals)
			c.join(config{settings: settings{forceOn: &signals}})
		}
	})
}

// WithSignalChannel takes the signals from a channel instead: each of them triggers, and none
// counts as typed. The controller then asks package os/signal for nothing but SIGPIPE (see
// [Controller.Run]). It reads the channel until Run returns. If the channel is closed, no more
// signals come.
func WithSignalChannel(signals <-chan os.Signal) Option {
	return register(func(c *config) {
		if signals == nil {
			c.fail("WithSignalChannel was given a nil channel; WithSignals() means no signals")
		}
		c.join(config{settings: settings{triggers: &source{channel: signals}}})
	})
}

// canHear reports whether a process can hear the signals.
func (c *config) canHear(option string, signals []os.Signal) bool {
	for _, s := range signals {
		number, known := s.(syscall.Signal)
		switch {
		case !known || number < 1 || number > 64:
			c.fail("%s: %#v is not a signal of this platform", option, s)
		case !catchable(number):
			c.fail("%s: %v cannot be caught, or is the Go runtime's own", option, number)
		default:
			continue
		}
		return false
	}
	return true
}

// signals checks that what forces is heard.
func (k *checking) signals(more config) {
	all := k.config.settings
	all.join(more.settings)
	from := all.from()
	if all.forceOn == nil || from.channel != nil {
		return
	}
	for _, s := range *all.forceOn {
		if !slices.Contains(from.signals, s) {
			k.fail("ForceOn: %v does not trigger, so it is not heard; give WithSignals all signals, and before ForceOn or with it", s)
		}
	}
}

// from returns where the signals that trigger come from.
func (s *settings) from() source {
	if s.triggers != nil {
		return *s.triggers
	}
	return source{signals: []os.Signal{syscall.SIGTERM, os.Interrupt}}
}

// signals is where a run's signals come from.
type signals struct {
	from  <-chan os.Signal
	ours  bool        // from is fed by package os/signal
	heard []os.Signal // what it is fed with
	force []os.Signal // those that force a shutdown that has begun
	stop  func()      // gives the signals back to the platform
	given bool        // some are the platform's again
	early bool        // Run has not begun
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

// take takes in a signal, and calls ignore for one that changes nothing. Before Run there is
// nothing to force: a signal that would do that does what the platform does, and so does any that
// comes when the time of a whole shutdown is over. (To give the signals back after the first
// one, and to ask for them again in Run, would cost 0.2 ms of every shutdown that begins here.)
func (s *signals) take(c *Controller, got os.Signal, open bool, ignore func(ignored)) {
	if !open {
		s.end()
		return
	}
	now := time.Now()
	switch what := s.meaning(c, got, now); {
	case what == triggers:
		c.request(trigger{at: now, cause: &report.SignalError{Signal: got}, typed: s.typed(got)})
	case s.ours && s.early && now.Sub(c.trigger.Load().at) >= c.config.budget.Total:
		s.end()
		raise(got)
	case s.ours && s.early && what == forces,
		s.ours && !s.early && what == late && c.forceAsked.Load() != nil && slices.Contains(s.force, got): // it came as they were to be given back
		s.giveBack()
		raise(got)
	case what == forces:
		c.forceNow(force{at: now, by: "signal: " + nameOf(got) + ": "})
	default:
		ignore(ignored{got, what})
	}
}

// typed reports whether a signal was typed at a terminal, as far as that can be known:
// the process is in the foreground of the terminal that is its standard input. A SIGINT
// that another process sends to it there looks the same.
func (s *signals) typed(got os.Signal) bool {
	return s.ours && got == os.Interrupt && foreground()
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

// warnOfParent warns if signals that should trigger will not come. What is to be read
// about the parent is read on a goroutine of its own, and only where it may matter. A
// process in the background is not warned: while a shell waits for that, a trap may pass
// signals on, and the shell may set one later.
func (r *run) warnOfParent(background bool) {
	if background || !r.signals.ours || !pid1.Waits() {
		return
	}
	wanted := []os.Signal{syscall.SIGTERM}
	if r.config.triggers != nil {
		wanted = r.config.triggers.signals
	}
	var shell string
	var lost []string
	r.ask(report.OpParent, "1", func() {
		p := pid1.Read()
		shell, lost = p.Shell(), p.Loses(wanted)
	}, func() {
		if len(lost) == 0 {
			return
		}
		s := r.newStep(report.KindWarning, "PID 1 is a shell")
		s.Text = fmt.Sprintf("PID 1 is %s, a shell, which does not pass signals on: the %s that stops the container will not reach this process; "+
			"use the exec form of ENTRYPOINT and CMD, or start this process with exec in the script", shell, strings.Join(lost, " or "))
		r.tell(*s)
	})
}
