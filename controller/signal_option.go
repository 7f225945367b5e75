package controller

import (
	"errors"
	"fmt"
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
	return func(c *config) error {
		if c.signalsSet {
			return errTwoSignals
		}
		if err := checkSignals("WithSignals", signals); err != nil {
			return err
		}
		c.signals, c.signalsSet = slices.Clone(signals), true
		return nil
	}
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
	return func(c *config) error {
		if c.forceOnSet {
			return errTwoForceOn
		}
		if err := checkSignals("ForceOn", signals); err != nil {
			return err
		}
		c.forceOn, c.forceOnSet = slices.Clone(signals), true
		return nil
	}
}

// checkSignals returns an error if there is one that a process cannot hear.
func checkSignals(option string, signals []os.Signal) error {
	for _, s := range signals {
		number, known := s.(syscall.Signal)
		if !known || number < 1 || number > 64 {
			return fmt.Errorf("controller: %s: %#v is not a signal of this platform", option, s)
		}
		if !catchable(number) {
			return fmt.Errorf("controller: %s: %v cannot be caught, or is the Go runtime's own", option, number)
		}
	}
	return nil
}

// WithSignalChannel takes the signals from a channel instead: all that come trigger, and
// none counts as typed. The controller then asks package os/signal for nothing but SIGPIPE
// (see [Controller.Run]). It reads the channel until Run returns. If the channel is
// closed, no more signals come.
func WithSignalChannel(signals <-chan os.Signal) Option {
	return func(c *config) error {
		if signals == nil {
			return errors.New("controller: WithSignalChannel was given a nil channel; WithSignals() means no signals")
		}
		if c.signalsSet {
			return errTwoSignals
		}
		c.signalChannel, c.signalsSet = signals, true
		return nil
	}
}

// signals checks that what forces is heard.
func (k *checking) signals(more config) {
	all := config{signals: k.config.signals, signalChannel: k.config.signalChannel, signalsSet: k.config.signalsSet,
		forceOn: k.config.forceOn, forceOnSet: k.config.forceOnSet}
	all.join(config{signals: more.signals, signalChannel: more.signalChannel, signalsSet: more.signalsSet, forceOn: more.forceOn, forceOnSet: more.forceOnSet})
	for _, s := range all.forceOn {
		if all.signalChannel == nil && !slices.Contains(all.heard(), s) {
			k.fail("ForceOn: %v does not trigger, so it is not heard; give WithSignals all signals, and before ForceOn or with it", s)
		}
	}
}
