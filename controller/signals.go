package controller

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/mattn/go-isatty"
)

// signals is where a run's signals come from, and how many have come.
type signals struct {
	from  <-chan os.Signal
	ours  bool   // from is fed by package os/signal
	stop  func() // gives the signals back to the platform
	count int
}

// listen subscribes to the signals of a config. A signal that arrives while the
// loop is at work waits in the channel.
func listen(c config) signals {
	if c.signalChannel != nil {
		return signals{from: c.signalChannel, stop: func() {}}
	}
	wanted := c.signals
	if !c.signalsSet {
		wanted = []os.Signal{syscall.SIGTERM, os.Interrupt}
	}
	if len(wanted) == 0 { // Notify without signals would mean all of them
		return signals{stop: func() {}}
	}
	ch := make(chan os.Signal, 8)
	signal.Notify(ch, wanted...)
	return signals{from: ch, ours: true, stop: func() { signal.Stop(ch) }}
}

// end stops listening. Other code that called signal.Notify still gets the signals; if
// there is none, the platform's default applies again.
func (s *signals) end() {
	s.stop()
	s.from = nil
}

// giveBack ends listening after the signal that forces. Signals that have come in
// the meantime were meant for the platform: the first of them is raised again.
func (s *signals) giveBack() {
	from := s.from
	s.end()
	if !s.ours {
		return
	}
	select {
	case again := <-from:
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Signal(again) // where a process cannot signal itself there is nothing else to do
		}
	default:
	}
}

// typed reports whether a signal was typed at a terminal.
func typed(s os.Signal) bool {
	return s == os.Interrupt && isatty.IsTerminal(os.Stdin.Fd())
}
