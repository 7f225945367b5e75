package controller

import (
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

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
	takeOver(ch, wanted)
	return signals{from: ch, ours: true, stop: func() { signal.Stop(ch) }}
}

// released are the signals of runs that are over, until they are given back: package
// os/signal, too, is one for the process.
var released struct {
	sync.Mutex
	all []*signals
}

// takeOver ends the grace of runs that are over, and has ch get the signal that came in
// it. Raised again it would come twice: ch may have been subscribed when it came.
func takeOver(ch chan os.Signal, wanted []os.Signal) {
	released.Lock()
	all := released.all
	released.all = nil
	released.Unlock()
	for _, s := range all {
		from := s.from
		s.end()
		select {
		case again := <-from:
			switch {
			case !slices.Contains(wanted, again):
				raise(again)
			case len(ch) == 0:
				ch <- again
			}
		default:
		}
	}
}

// giveBackReleased gives signals back, unless a later run has taken them over.
func (s *signals) giveBackReleased() {
	released.Lock()
	i := slices.Index(released.all, s)
	if i >= 0 {
		released.all = slices.Delete(released.all, i, i+1)
	}
	released.Unlock()
	if i >= 0 {
		s.giveBack()
	}
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
		raise(again)
	default:
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
	released.Lock()
	released.all = append(released.all, s)
	released.Unlock()
	time.AfterFunc(grace, s.giveBackReleased)
}

// raise sends a signal to this process.
func raise(s os.Signal) {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Signal(s) // where a process cannot signal itself there is nothing else to do
	}
}

// typed reports whether a signal was typed at a terminal.
func typed(s os.Signal) bool {
	return s == os.Interrupt && isatty.IsTerminal(os.Stdin.Fd())
}
