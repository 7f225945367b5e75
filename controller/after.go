package controller

import (
	"maps"
	"slices"
)

// order checks what stands After what. What was registered earlier can name none of
// the new ones, so a circle is among the new ones.
func (k *checking) order(more config) {
	after := map[string][]string{}
	ok := true
	add := func(kind, name string, names []string, last bool) {
		after[name] = names
		for _, other := range names {
			_, there := k.find(named{members, other})
			_, isLast := k.find(stopsLast(other))
			switch {
			case other == name:
				k.fail("%s %q is After itself", kind, name)
			case !there:
				k.fail("%s %q is After %q, but there is no server and no worker with that name, in this call or an earlier one: the others are %q", kind, name, other, k.others(name))
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
		add("server", s.name, s.after, s.last)
	}
	for _, w := range more.workers {
		add("worker", w.name, w.after, false)
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

// others returns the names that After may give to the server or worker of that name.
func (k *checking) others(name string) []string {
	var all []string
	for _, x := range []index{k.config.index, k.added} {
		for key := range x {
			other, ok := key.(named)
			if _, last := x[stopsLast(other.name)]; ok && other.room == members && other.name != name && !last {
				all = append(all, other.name)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
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
