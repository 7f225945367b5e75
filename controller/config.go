package controller

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

// config is what was registered, in order.
type config struct {
	budget     Budget
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
}

type workerConfig struct {
	name        string
	run         func(claim, work context.Context) error
	endsProcess bool
	errs        []error
}

type observerConfig struct {
	name    string
	observe func(Step)
}

// stepConfig is an announcer, a closer or a flusher.
type stepConfig struct {
	name    string
	run     func(context.Context) error
	timeout time.Duration // 0: none of its own
	group   int           // of a closer: those with the same one are closed at the same time; 0: it alone
	errs    []error
}

// with returns a checked copy to which the options have been added.
func (c config) with(opts []Option) (config, error) {
	c.servers = slices.Clone(c.servers)
	c.workers = slices.Clone(c.workers)
	c.announcers = slices.Clone(c.announcers)
	c.closers = slices.Clone(c.closers)
	c.flushers = slices.Clone(c.flushers)
	c.observers = slices.Clone(c.observers)
	var errs []error
	for i, opt := range opts {
		if opt == nil {
			errs = append(errs, fmt.Errorf("controller: option %d is nil", i+1))
			continue
		}
		if err := opt(&c); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(append(errs, c.check()...)...); err != nil {
		return config{}, err
	}
	return c, nil
}

// closersOnly says whether nothing but closers is registered.
func (c config) closersOnly() bool {
	return len(c.servers)+len(c.workers)+len(c.announcers)+len(c.flushers)+len(c.observers) == 0 && c.logger == nil && !c.signalsSet
}

// check returns one error for each thing that is wrong with what is registered.
func (c config) check() []error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf("controller: "+format, args...)) }
	names := map[string]bool{}
	named := func(kind, name string, isNil bool, more []error) {
		if name == "" {
			fail("a %s has no name", kind)
		} else if names[kind+" "+name] {
			fail("there are two %ss with the name %q", kind, name)
		}
		names[kind+" "+name] = true
		if isNil {
			fail("%s %q is nil", kind, name)
		}
		for _, err := range more {
			fail("%s %q: %w", kind, name, err)
		}
	}
	for i, s := range c.servers {
		named("server", s.name, isNil(s.server), s.errs)
		if c.budget.Quiet > 0 && !s.last && s.noQuiet != "" {
			fail("server %q cannot tell when an RPC last arrived, so Budget.Quiet cannot work: %s", s.name, s.noQuiet)
		}
		for _, other := range c.servers[:i] {
			if same(s.server, other.server) {
				fail("servers %q and %q are the same server", other.name, s.name)
			}
		}
	}
	for _, w := range c.workers {
		named("worker", w.name, w.run == nil, w.errs)
	}
	for _, a := range c.announcers {
		named("announcer", a.name, a.run == nil, a.errs)
	}
	for _, s := range c.closers {
		named("closer", s.name, s.run == nil, s.errs)
	}
	for _, f := range c.flushers {
		named("flusher", f.name, f.run == nil, f.errs)
	}
	for _, o := range c.observers {
		named("observer", o.name, o.observe == nil, nil)
	}
	return append(errs, c.checkBehind()...)
}

// checkBehind returns an error for each Behind that names no server, and one if
// servers stand behind each other in a circle.
func (c config) checkBehind() []error {
	var errs []error
	behind, last := map[string][]string{}, map[string]bool{}
	for _, s := range c.servers {
		behind[s.name], last[s.name] = s.behind, s.last
	}
	for _, s := range c.servers {
		for _, name := range s.behind {
			switch _, ok := behind[name]; {
			case !ok:
				errs = append(errs, fmt.Errorf("controller: server %q is Behind %q, but there is no such server", s.name, name))
			case s.last || last[name]:
				errs = append(errs, fmt.Errorf("controller: server %q is Behind %q, but a server that is Last has no part in the drain", s.name, name))
			}
		}
	}
	if len(errs) > 0 {
		return errs
	}
	free := map[string]bool{}
	for _, s := range c.servers {
		if path := circle(behind, s.name, nil, free); path != nil {
			return []error{fmt.Errorf("controller: the servers %q stand Behind each other in a circle", path)}
		}
	}
	return nil
}

// circle returns the names on a path that leads from name back to a name on it,
// or nil. It notes names from which no path does so in free.
func circle(behind map[string][]string, name string, path []string, free map[string]bool) []string {
	if i := slices.Index(path, name); i >= 0 {
		return path[i:]
	}
	if free[name] {
		return nil
	}
	for _, next := range behind[name] {
		if found := circle(behind, next, append(slices.Clip(path), name), free); found != nil {
			return found
		}
	}
	free[name] = true
	return nil
}

// isNil says whether a server is nil, or an interface that holds a nil pointer.
func isNil(s Server) bool {
	if s == nil {
		return true
	}
	v := reflect.ValueOf(s)
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan:
		return v.IsNil()
	default:
		return false
	}
}

// same says whether two servers are one and the same object.
func same(a, b Server) bool {
	if isNil(a) || isNil(b) {
		return false
	}
	v, w := reflect.ValueOf(a), reflect.ValueOf(b)
	return v.Kind() == reflect.Pointer && w.Kind() == reflect.Pointer &&
		v.Type() == w.Type() && v.Pointer() == w.Pointer() && v.Type().Elem().Size() > 0
}
