package controller

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/rs/zerolog"
)

// config is what was registered, in order.
type config struct {
	budget     lastcall.Budget
	servers    []serverConfig
	workers    []workerConfig
	announcers []stepConfig
	closers    []stepConfig
	groups     int // of closers that are closed at the same time
	flushers   []stepConfig
	observers  []observerConfig
	logger     *zerolog.Logger

	signals       []os.Signal
	signalChannel <-chan os.Signal
	signalsSet    bool

	index index
}

type workerConfig struct {
	name        string
	run         func(claim, work context.Context) error
	endsProcess bool
	after       []string
	errs        []error
}

type observerConfig struct {
	name    string
	observe func(report.Step)
}

// stepConfig is an announcer, a closer or a flusher.
type stepConfig struct {
	name    string
	run     func(context.Context) error
	timeout time.Duration // 0: none of its own
	group   int           // of a closer: those with the same one are closed at the same time; 0: it alone
	errs    []error
}

// gather returns what the options register, and an error for each that has one.
// The options run on the caller's goroutine and may be the caller's own code: no
// lock is held.
func gather(opts []Option) (config, []error) {
	var more config
	var errs []error
	for i, opt := range opts {
		if opt == nil {
			errs = append(errs, fmt.Errorf("controller: option %d is nil", i+1))
			continue
		}
		if err := opt(&more); err != nil {
			errs = append(errs, err)
		}
	}
	return more, errs
}

// add appends what was gathered and has passed check.
func (c *config) add(more config, index index) {
	c.join(more)
	c.index.merge(index)
}

// join appends more. The cost does not depend on how much is registered already.
func (c *config) join(more config) {
	c.servers = append(c.servers, more.servers...)
	c.workers = append(c.workers, more.workers...)
	c.announcers = append(c.announcers, more.announcers...)
	for _, s := range more.closers {
		if s.group > 0 {
			s.group += c.groups
		}
		c.closers = append(c.closers, s)
	}
	c.groups += more.groups
	c.flushers = append(c.flushers, more.flushers...)
	c.observers = append(c.observers, more.observers...)
	if more.logger != nil {
		c.logger = more.logger
	}
	if more.signalsSet {
		c.signals, c.signalChannel, c.signalsSet = more.signals, more.signalChannel, true
	}
}

// closersOnly says whether nothing but closers is registered.
func (c config) closersOnly() bool {
	return len(c.servers)+len(c.workers)+len(c.announcers)+len(c.flushers)+len(c.observers) == 0 && c.logger == nil && !c.signalsSet
}
