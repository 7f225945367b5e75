package idioms

// What is changed here by a method that is a value, by a method of an interface, or by a
// function of the standard library. None is drawn: as in shared.go. Only Read is.

import (
	"maps"
	"slices"
	"sort"

	"github.com/looplab/fsm"
)

type list []string

func (l list) bound()                    { l[0] = "z" } // BoundMethod
func (l list) assigned()                 { l[0] = "z" } // BehindInterface
func (l list) handed()                   { l[0] = "z" } // HandedInterface
func (l list) len() int                  { return len(l) }
func callHanded(h interface{ handed() }) { h.handed() }

type items[T any] []T

func (i items[T]) set(v T) { i[0] = v } // BoundGeneric

func BoundMethod() *fsm.FSM {
	l := list{"a"}
	f := l.bound
	f()
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: l, Dst: "b"}}, nil)
}

func BoundGeneric() *fsm.FSM {
	i := items[string]{"a"}
	set := i.set
	set("z")
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: i, Dst: "b"}}, nil)
}

func BehindInterface() *fsm.FSM {
	l := list{"a"}
	var i interface{ assigned() } = l
	i.assigned()
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: l, Dst: "b"}}, nil)
}

func HandedInterface() *fsm.FSM {
	l := list{"a"}
	callHanded(l)
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: l, Dst: "b"}}, nil)
}

// Read has its list read by a method that is a value.
func Read() *fsm.FSM {
	l := list{"a"}
	n := l.len
	_ = n()
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: l, Dst: "b"}}, nil)
}

func Sorted() *fsm.FSM {
	src := []string{"b", "a"}
	sort.Strings(src) // Sorted
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: src, Dst: "c"}}, nil)
}

func SortedAs() *fsm.FSM {
	src := []string{"b", "a"}
	sort.Sort(sort.StringSlice(src)) // SortedAs
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: src, Dst: "b"}}, nil)
}

type order2 struct{ l list }

func (o order2) Len() int           { return len(o.l) }
func (o order2) Less(i, j int) bool { return o.l[i] < o.l[j] }
func (o order2) Swap(i, j int)      { o.l[i], o.l[j] = o.l[j], o.l[i] } // SortedInside

func SortedInside() *fsm.FSM {
	src := list{"b", "a"}
	by := order2{src}
	sort.Sort(by)
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: src, Dst: "b"}}, nil)
}

func Reversed() *fsm.FSM {
	events := fsm.Events{{Name: "go", Src: []string{"a"}, Dst: "b"}, {Name: "go", Src: []string{"a"}, Dst: "c"}}
	slices.Reverse(events) // Reversed
	return fsm.NewFSM("a", events, nil)
}

func Merged() *fsm.FSM {
	names := map[string]string{"to": "b"}
	maps.Copy(names, map[string]string{"to": "c"}) // Merged
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: []string{"a"}, Dst: names["to"]}}, nil)
}
