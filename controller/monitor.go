package controller

import (
	"slices"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/report"
)

// InFlight returns the work of every server that counts it, in the order of registration,
// as its InFlight returns it. It may be called at any time, and blocks for at most 10 ms:
// of a server that has not answered by then it returns the last answer, if there was one.
// A server is asked by one goroutine at a time, so one that hangs holds one goroutine.
func (c *Controller) InFlight() []lastcall.Work {
	c.mu.Lock()
	servers, noPeers := c.config.servers, c.config.noPeers // what is added is appended
	c.mu.Unlock()
	limit := time.Now().Add(grace)
	var answers []<-chan struct{}
	for _, s := range servers {
		if s.full != nil {
			answers = append(answers, s.asking.ask(s.name, s.full))
		}
	}
	for _, answered := range answers {
		foreign.Within(answered, time.Until(limit))
	}
	var all []lastcall.Work
	for _, s := range servers {
		if s.full != nil {
			all = append(all, s.asking.answer()...)
		}
	}
	if noPeers {
		for i := range all {
			all[i].Peer, all[i].Path = "", ""
		}
	}
	return all
}

// asking is a question to a server that anyone may ask at any time.
type asking struct {
	mu   sync.Mutex
	done chan struct{} // closed when the question is answered; nil: none is under way
	last []lastcall.Work
}

// ask asks the server, unless that is happening already.
func (a *asking) ask(name string, server lastcall.FullServer) <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done != nil {
		return a.done
	}
	done := make(chan struct{})
	a.done = done
	var work []lastcall.Work
	go guard(func() error {
		work = slices.Clone(server.InFlight())
		for i := range work {
			work[i].Server = name
		}
		return nil
	}, func(r result) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if r.result == report.ResultOK {
			a.last = work
		}
		a.done = nil
		close(done)
	})
	return done
}

func (a *asking) answer() []lastcall.Work {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}
