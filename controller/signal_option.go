package controller

import (
	"os"
	"slices"
	"syscall"
)

// WithSignals sets the signals that trigger, instead of SIGTERM and SIGINT.
// Without arguments no signal does: other code owns them. What further signals do is up
// to [ForceOn]. One that comes in the first 10 ms after Run has returned is raised again
// after them: other code that listens with signal.Notify gets it twice.
//
// SIGHUP is not among the default ones: it ends the process, as the platform has it, at
// any time. Name it here to make it a trigger; that holds even under nohup, which has
// it ignored otherwise.
//
// In a testing/synctest bubble package os/signal does not work: there Run returns an
// error, on Unix, unless WithSignals() or [WithSignalChannel] is given.
func WithSignals(signals ...os.Signal) Option {
	return register(func(c *config) {
		if c.canHear("WithSignals", signals) {
			c.join(config{settings: settings{triggers: &source{signals: slices.Clone(signals)}}})
		}
	})
}

// ForceOn sets the signals that force a shutdown that has begun, instead of SIGINT;
// without arguments none does. They have to be among those that trigger, or to come from
// a channel.
//
// A signal within a second of the trigger, or a tenth of Total if that is less, is the
// same request, whatever began the shutdown: a wrapper passes on what the process group
// has got as well. If SIGINT was typed at a terminal that is 50 ms. Later, a signal of
// ForceOn forces as [Controller.Force] does, and any other changes nothing. From 50 ms
// after a force on, however that was asked for, the signals of ForceOn do what the
// platform does by default. Observers are told what each has changed, but not of more than
// ten that repeat a request, and ten that come too late to change anything.
//
// Typed means that the process is in the foreground of the terminal that is its standard
// input. A SIGINT that another process sends to it there cannot be told apart.
func ForceOn(signals ...os.Signal) Option {
	return register(func(c *config) {
		if c.canHear("ForceOn", signals) {
			signals = slices.Clone(signals)
			c.join(config{settings: settings{forceOn: &signals}})
		}
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

// WithSignalChannel takes the signals from a channel instead: all that come trigger, and
// none counts as typed. The controller then asks package os/signal for nothing but SIGPIPE
// (see [Controller.Run]). It reads the channel until Run returns. If the channel is
// closed, no more signals come.
func WithSignalChannel(signals <-chan os.Signal) Option {
	return register(func(c *config) {
		if signals == nil {
			c.fail("WithSignalChannel was given a nil channel; WithSignals() means no signals")
		}
		c.join(config{settings: settings{triggers: &source{channel: signals}}})
	})
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
