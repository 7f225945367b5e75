package controller

import (
	"errors"
	"fmt"
	"github.com/lastcall-go/lastcall"
	"maps"
	"reflect"
	"slices"
)

var (
	errTwoLoggers = errors.New("controller: WithLogger was given twice")
	errTwoSignals = errors.New("controller: WithSignals or WithSignalChannel was given before; only one of them can be")
)

// index finds what is registered by its name, and servers by their identity too.
type index struct {
	names   map[[2]string]bool // kind and name
	servers map[any]string     // the name of the server with that pointer
	last    map[string]bool    // of each server, whether it is Last
}

func newIndex() index {
	return index{names: map[[2]string]bool{}, servers: map[any]string{}, last: map[string]bool{}}
}

func (x index) merge(more index) {
	maps.Copy(x.names, more.names)
	maps.Copy(x.servers, more.servers)
	maps.Copy(x.last, more.last)
}

// check returns one error for each thing that is wrong with more, as an addition to
// c, and the index of what is in more. It calls no code of the caller.
func (c *config) check(more config) (index, []error) {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf("controller: "+format, args...)) }
	added := newIndex()
	named := func(kind, name string, isNil bool, more []error) {
		key := [2]string{kind, name}
		if name == "" {
			fail("a %s has no name", kind)
		} else if c.index.names[key] || added.names[key] {
			fail("there are two %ss with the name %q", kind, name)
		}
		added.names[key] = true
		if isNil {
			fail("%s %q is nil", kind, name)
		}
		for _, err := range more {
			fail("%s %q: %w", kind, name, err)
		}
	}
	for _, s := range more.servers {
		named("server", s.name, isNil(s.server), s.errs)
		if c.budget.Quiet > 0 && !s.last && s.noQuiet != "" {
			fail("server %q cannot tell when an RPC last arrived, so Budget.Quiet cannot work: %s", s.name, s.noQuiet)
		}
		if id := identity(s.server); id != nil {
			for _, x := range []index{c.index, added} {
				if other, ok := x.servers[id]; ok {
					fail("servers %q and %q are the same server", other, s.name)
				}
			}
			added.servers[id] = s.name
		}
		added.last[s.name] = s.last
	}
	for _, w := range more.workers {
		named("worker", w.name, w.run == nil, w.errs)
	}
	for _, a := range more.announcers {
		named("announcer", a.name, a.run == nil, a.errs)
	}
	for _, s := range more.closers {
		named("closer", s.name, s.run == nil, s.errs)
	}
	for _, f := range more.flushers {
		named("flusher", f.name, f.run == nil, f.errs)
	}
	for _, o := range more.observers {
		named("observer", o.name, o.observe == nil, nil)
	}
	if c.logger != nil && more.logger != nil {
		errs = append(errs, errTwoLoggers)
	}
	if c.signalsSet && more.signalsSet {
		errs = append(errs, errTwoSignals)
	}
	return added, append(errs, c.checkBehind(more.servers, added)...)
}

// checkBehind returns an error for each Behind that names no server, and one if
// servers stand behind each other in a circle. Servers that were registered earlier
// can name none of the new ones, so a circle is among the new ones.
func (c *config) checkBehind(servers []serverConfig, added index) []error {
	var errs []error
	behind := map[string][]string{}
	for _, s := range servers {
		behind[s.name] = s.behind
		for _, name := range s.behind {
			last, ok := added.last[name]
			if !ok {
				last, ok = c.index.last[name]
			}
			switch {
			case !ok:
				errs = append(errs, fmt.Errorf("controller: server %q is Behind %q, but there is no such server", s.name, name))
			case s.last || last:
				errs = append(errs, fmt.Errorf("controller: server %q is Behind %q, but a server that is Last has no part in the drain", s.name, name))
			}
		}
	}
	if len(errs) > 0 {
		return errs
	}
	free := map[string]bool{}
	for _, s := range servers {
		if path := circle(behind, s.name, nil, free); path != nil {
			return []error{fmt.Errorf("controller: the servers %q stand Behind each other in a circle", path)}
		}
	}
	return nil
}

// circle returns the names on a path that leads from name back to a name on it,
// or nil. It notes names from which no path does so in free.
func circle(behind map[string][]string, name string, path []string, free map[string]bool) []string {
	if free[name] {
		return nil
	}
	if i := slices.Index(path, name); i >= 0 {
		return path[i:]
	}
	for _, next := range behind[name] {
		if found := circle(behind, next, append(path, name), free); found != nil {
			return found
		}
	}
	free[name] = true
	return nil
}

// identity returns what two servers have in common if and only if they are one and
// the same object, or nil if that cannot be known.
func identity(s lastcall.Server) any {
	if isNil(s) {
		return nil
	}
	if v := reflect.ValueOf(s); v.Kind() != reflect.Pointer || v.Type().Elem().Size() == 0 {
		return nil
	}
	return s
}
