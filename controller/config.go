package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
	"github.com/lastcall-go/lastcall/report"
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
	settings
	index index
	errs  []error // what is wrong with what options were given
}

// settings are what there is one of.
type settings struct {
	every           *time.Duration // how often progress is told; nil: the default
	triggers        *source        // nil: SIGTERM and SIGINT
	forceOn         *[]os.Signal   // nil: SIGINT
	noStacks        bool
	noPeers         bool
	noStderr        bool
	readyUntilDrain bool
}

// source is where signals come from.
type source struct {
	signals []os.Signal
	channel <-chan os.Signal // instead of package os/signal; nil: not given
}

type workerConfig struct {
	name        string
	run         func(claim, work context.Context) error
	endsProcess bool
	after       []string
	errs        []error
}

// observerConfig is an observer, or a log, which is given the steps that have a line.
type observerConfig struct {
	op      report.Op // OpObserve or OpLog
	name    string
	label   context.Context // of the goroutine that calls it
	observe func(report.Step) error
	attach  func(*Controller) error // of a Monitor
}

// stepConfig is an announcer, a closer or a flusher.
type stepConfig struct {
	name     string
	run      func(context.Context) error
	timeout  time.Duration // 0: none of its own
	harmless []error       // that are not failures
	group    int           // of a closer: those with the same one are closed at the same time; 0: it alone
	errs     []error
}

// gather returns what the options register, with an error for each that has one.
// The options run on the caller's goroutine and may be the caller's own code: no
// lock is held.
func gather(what string, opts []Option) config {
	var more config
	for i, opt := range opts {
		if opt == nil {
			more.fail("%s %d is nil", what, i+1)
			continue
		}
		if err := opt(&more); err != nil {
			more.errs = append(more.errs, err)
		}
	}
	return more
}

func (c *config) fail(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("controller: "+format, args...))
}

// join appends more. The cost does not depend on how much is registered already.
func (c *config) join(more config) {
	c.errs = slices.Concat(c.errs, c.conflicts(more), more.errs)
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
	c.settings.join(more.settings)
}

func (s *settings) join(more settings) {
	s.every, s.triggers, s.forceOn = cmp.Or(more.every, s.every), cmp.Or(more.triggers, s.triggers), cmp.Or(more.forceOn, s.forceOn)
	s.noStacks, s.noPeers = s.noStacks || more.noStacks, s.noPeers || more.noPeers
	s.noStderr, s.readyUntilDrain = s.noStderr || more.noStderr, s.readyUntilDrain || more.readyUntilDrain
}

// closersOnly reports whether nothing but closers is registered.
func (c *config) closersOnly() bool {
	return len(c.servers)+len(c.workers)+len(c.announcers)+len(c.flushers)+len(c.observers) == 0 && c.settings == settings{}
}

// index finds what is registered: what kind of thing has a name, by the named of it; the
// name of a server, by its pointer or by that of a listener of its; and by stopsLast the
// servers that do.
type index map[any]string

// named is a name among those of one room, in which names are unique.
type named struct{ room, name string }

// stopsLast is the name of a server that stops last.
type stopsLast string

// conflicts returns an error for each thing that more has and that there is one of.
func (c *config) conflicts(more config) []error {
	var errs []error
	if c.every != nil && more.every != nil {
		errs = append(errs, errors.New("controller: WithProgress was given twice"))
	}
	if c.triggers != nil && more.triggers != nil {
		errs = append(errs, errors.New("controller: WithSignals or WithSignalChannel was given before; only one of them can be"))
	}
	if c.forceOn != nil && more.forceOn != nil {
		errs = append(errs, errors.New("controller: ForceOn was given twice"))
	}
	return errs
}

// checking collects what is wrong with an addition to a config.
type checking struct {
	config *config
	added  index
	errs   []error
}

func (k *checking) fail(format string, args ...any) {
	k.errs = append(k.errs, fmt.Errorf("controller: "+format, args...))
}

// find returns what is registered, or is about to be, by a key of the index.
func (k *checking) find(key any) (string, bool) {
	found, there := k.config.index[key]
	if !there {
		found, there = k.added[key]
	}
	return found, there
}

// named checks what every registration has.
func (k *checking) named(kind, room, name string, isNil bool, more []error) {
	key := named{room, name}
	switch other, there := k.find(key); {
	case name == "":
		k.fail("a %s has no name", kind)
	case there && other == kind:
		k.fail("there are two %ss with the name %q", kind, name)
	case there:
		k.fail("there is a %s and a %s with the name %q", other, kind, name)
	}
	k.added[key] = kind
	if isNil {
		k.fail("%s %q is nil", kind, name)
	}
	for _, err := range more {
		k.fail("%s %q: %w", kind, name, err)
	}
}

// members is the room of what After may name.
const members = "member"

// check returns one error for each thing that is wrong with more, as an addition to
// c, and the index of what is in more. It calls no code of the caller.
func (c *config) check(more config) (index, []error) {
	k := &checking{config: c, added: index{}}
	for _, s := range more.servers {
		k.server(s)
	}
	for _, w := range more.workers {
		k.named("worker", members, w.name, w.run == nil, w.errs)
	}
	for _, steps := range []struct {
		kind string
		all  []stepConfig
	}{{"announcer", more.announcers}, {"closer", more.closers}, {"flusher", more.flushers}} {
		for _, s := range steps.all {
			k.named(steps.kind, steps.kind, s.name, s.run == nil, s.errs)
			if total := c.budget.Total; s.timeout > total {
				k.fail("%s %q: Timeout %v is longer than the budget's Total %v", steps.kind, s.name, s.timeout, total)
			}
		}
	}
	for _, o := range more.observers {
		k.named(string(o.op), string(o.op), o.name, o.observe == nil, nil)
	}
	k.errs = append(k.errs, c.conflicts(more)...)
	k.signals(more)
	k.order(more)
	return k.added, k.errs
}

func (k *checking) server(s serverConfig) {
	k.named("server", members, s.name, isNil(s.server), s.errs)
	if len(s.errs) == 0 && k.config.budget.Quiet > 0 && !s.last && s.noQuiet != "" {
		k.fail("server %q cannot tell when work last arrived, so Budget.Quiet cannot work: %s", s.name, s.noQuiet)
	}
	if id := identity(s.server); id != nil {
		if other, there := k.find(id); there {
			k.fail("servers %q and %q are the same server", other, s.name)
		}
		k.added[id] = s.name
	}
	for _, lis := range s.listeners {
		id := identityOf(lis)
		if id == nil {
			continue
		}
		if other, there := k.find(id); there && other != s.name {
			k.fail("servers %q and %q have the same listener: each accepts what is meant for the other, and the first to drain closes it for both", other, s.name)
		}
		k.added[id] = s.name
	}
	if s.last {
		k.added[stopsLast(s.name)] = s.name
	}
}

// inside returns the server that [lastcall.Last] was given, or s.
func inside(s lastcall.Server) lastcall.Server {
	if last, ok := s.(interface{ Unwrap() lastcall.FullServer }); ok && !foreign.IsNil(s) {
		return last.Unwrap()
	}
	return s
}

// isNil reports whether a server is nil, or an interface that holds a nil pointer.
func isNil(s lastcall.Server) bool { return foreign.IsNil(inside(s)) }

// identity returns what two servers have in common if and only if they are one and
// the same object, or nil if that cannot be known.
func identity(s lastcall.Server) any {
	if isNil(s) {
		return nil
	}
	return identityOf(inside(s))
}

func identityOf(s any) any {
	if v := reflect.ValueOf(s); v.Kind() != reflect.Pointer || v.IsNil() || v.Type().Elem().Size() == 0 {
		return nil
	}
	return s
}
