package controller

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/foreign"
)

// config is what was registered, in order.
type config struct {
	budget     lastcall.Budget
	servers    []serverConfig
	workers    []workerConfig
	announcers []stepConfig
	closers    [][]stepConfig // each of these at the same time
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

func (c *config) fail(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("controller: "+format, args...))
}

// join appends more. The cost does not depend on how much is registered already.
func (c *config) join(more config) {
	c.errs = slices.Concat(c.errs, c.conflicts(more), more.errs)
	c.servers = append(c.servers, more.servers...)
	c.workers = append(c.workers, more.workers...)
	c.announcers = append(c.announcers, more.announcers...)
	c.closers = append(c.closers, more.closers...)
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
	}{{"announcer", more.announcers}, {"closer", slices.Concat(more.closers...)}, {"flusher", more.flushers}} {
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

// order checks what stands After what. What was registered earlier can name none of
// the new ones, so a circle is among the new ones.
func (k *checking) order(more config) {
	after := map[string][]string{}
	ok := true
	add := func(kind string, m memberConfig, last bool) {
		name := m.name
		after[name] = m.after
		for _, other := range m.after {
			_, there := k.find(named{members, other})
			_, isLast := k.find(stopsLast(other))
			_, isCloser := k.find(named{"closer", other})
			switch {
			case other == name:
				k.fail("%s %q is After itself", kind, name)
			case !there && isCloser:
				k.fail("%s %q is After %q, which is a closer: closers run after all servers and workers", kind, name, other)
			case !there:
				k.fail("%s %q is After %q, but there is no server and no worker with that name, in this call or an earlier one: %s", kind, name, other, k.others(name))
			case last:
				k.fail("%s %q is After %q, but stops last, after everything", kind, name, other)
			case isLast:
				k.fail("%s %q is After %q, which stops last, after everything", kind, name, other)
			default:
				continue
			}
			ok = false
		}
	}
	for _, s := range more.servers {
		add("server", s.memberConfig, s.last)
	}
	for _, w := range more.workers {
		add("worker", w.memberConfig, false)
	}
	if !ok {
		return
	}
	free := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if path := circle(after, name, nil, free); path != nil {
			k.fail("%q stand After each other in a circle", path)
			return
		}
	}
}

// others tells which names After may give to the server or worker of that name.
func (k *checking) others(name string) string {
	var all []string
	for _, x := range []index{k.config.index, k.added} {
		for key := range x {
			other, ok := key.(named)
			if _, last := x[stopsLast(other.name)]; ok && other.room == members && other.name != name && !last {
				all = append(all, other.name)
			}
		}
	}
	if len(all) == 0 {
		return "there is no other"
	}
	slices.Sort(all)
	return fmt.Sprintf("the others are %q", slices.Compact(all))
}

// circle returns the names on a path that leads from name back to a name on it, or
// nil. It notes names from which no path does so in free.
func circle(after map[string][]string, name string, path []string, free map[string]bool) []string {
	if free[name] {
		return nil
	}
	if i := slices.Index(path, name); i >= 0 {
		return path[i:]
	}
	for _, next := range after[name] {
		if found := circle(after, next, append(path, name), free); found != nil {
			return found
		}
	}
	free[name] = true
	return nil
}
