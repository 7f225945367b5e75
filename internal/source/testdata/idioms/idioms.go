// Package idioms makes state machines in many ways.
package idioms

import (
	"context"

	"github.com/looplab/fsm"

	"github.com/lastcall-go/lastcall/internal/source/testdata/idioms/names"
)

type State string

const (
	Idle    State = "idle"
	Running State = "run" + "ning"
	done          = "done"
)

var (
	all     = []string{string(Idle), string(Running)}
	table   = map[string]string{"a": "idle", "b": "busy"}
	base    = fsm.Events{{Name: "start", Src: []string{"idle"}, Dst: "running"}}
	prefix  = "job" + "_"
	machine = fsm.NewFSM("idle", fsm.Events{{"go", all, done}}, nil)
)

type order struct {
	*fsm.FSM
	events fsm.Events
}

func Literal() *fsm.FSM {
	return fsm.NewFSM("closed", fsm.Events{{Name: "open", Src: []string{"closed"}, Dst: "open"}}, fsm.Callbacks{
		"enter_state": func(context.Context, *fsm.Event) {},
	})
}

func Constants() *fsm.FSM {
	return fsm.NewFSM(string(Idle), []fsm.EventDesc{
		{Name: names.Prefix + "start", Src: []string{string(Idle)}, Dst: string(Running)},
		{Name: prefix + "stop", Src: all, Dst: done},
		{Dst: names.Idle, Name: "reset", Src: []string{done}},
	}, nil)
}

func Elsewhere() *fsm.FSM { return fsm.NewFSM("closed", names.Door, nil) }

func Wrapped() *fsm.FSM { return names.Make("idle", base) }

func Local() *fsm.FSM {
	start, stop := "start", "stop"
	var events = fsm.Events{{Name: start, Src: []string{"a"}, Dst: "b"}}
	more := append(events, fsm.EventDesc{Name: stop, Src: []string{"b"}, Dst: "a"})
	o := &order{events: append(more, base...)}
	o.FSM = fsm.NewFSM("a", more, nil)
	return o.FSM
}

func Stringers() *fsm.FSM {
	return fsm.NewFSM(names.Cold.String(), fsm.Events{
		{Name: "heat", Src: []string{names.Cold.String(), names.Warm.String()}, Dst: names.Hot.String()},
		{Name: names.Red.String(), Src: []string{names.Hot.String()}, Dst: names.Green.String()},
		{Name: table["b"], Src: []string{table["a"]}, Dst: all[1]},
	}, nil)
}

func Generated() *fsm.FSM {
	return fsm.NewFSM(names.Neutral.String(), fsm.Events{
		{Name: names.Kind("").String(), Src: []string{names.Neutral.String(), names.First.String()}, Dst: names.Reverse.String()},
		{Name: names.Kind("shift").String(), Src: []string{names.Reverse.String()}, Dst: names.Kind("abc").String()},
	}, nil)
}

type builder struct {
	initial string
	events  fsm.Events
}

func (b builder) build() *fsm.FSM { return fsm.NewFSM(b.initial, b.events, nil) }

func event(name, to string, from ...string) fsm.EventDesc {
	return fsm.EventDesc{Name: name, Src: from, Dst: to}
}

func Built() *fsm.FSM {
	b := builder{"x", fsm.Events{event("1", "y", "x"), event("2", "x", "y", "z"), event("3", "z", []string{"x", "y"}...)}}
	return b.build()
}

func events(to string) fsm.Events {
	last := fsm.EventDesc{Name: "finish", Src: []string{"running"}, Dst: to}
	return append(base, last)
}

func Functions() *fsm.FSM { return fsm.NewFSM("idle", events("finished"), nil) }

func Twice() (one, two *fsm.FSM) {
	new := func(s string) *fsm.FSM {
		return fsm.NewFSM("x", fsm.Events{{Name: "1", Src: []string{"x"}, Dst: "y"}}, nil)
	}
	return new(""), (fsm.NewFSM)("x", fsm.Events{{Name: "2", Src: []string{"x"}, Dst: "y"}}, nil)
}

// The state in which it starts is the caller's.
func Restored(state string) *fsm.FSM {
	return fsm.NewFSM(state, fsm.Events{{Name: "open", Src: []string{"closed"}, Dst: "open"}}, nil)
}

func (o *order) Method() *fsm.FSM {
	o.FSM = fsm.NewFSM("idle", base, nil)
	return o.FSM
}

func NoEvents() *fsm.FSM { return fsm.NewFSM("alone", nil, nil) }

func agreed(state string) *fsm.FSM { return fsm.NewFSM(state, base, nil) }

func disagreed(state string) *fsm.FSM { return fsm.NewFSM(state, base, nil) }

// All makes every machine that can be evaluated, by its name.
func All() map[string]*fsm.FSM {
	one, two := Twice()
	return map[string]*fsm.FSM{
		"idioms.machine": machine, "idioms.Literal": Literal(), "idioms.Constants": Constants(), "idioms.Elsewhere": Elsewhere(),
		"idioms.Wrapped": Wrapped(), "idioms.Local": Local(), "idioms.Stringers": Stringers(), "idioms.Functions": Functions(),
		"idioms.Twice": one, "idioms.Twice-2": two, "idioms.Restored": Restored(""), "idioms.order.Method": new(order).Method(),
		"idioms.NoEvents": NoEvents(), "idioms.agreed": agreed("idle"), "idioms.Dot": Dot(),
		"idioms.Generated": Generated(), "idioms.Built": Built(), "idioms.disagreed": disagreed(""),
		"idioms.first": first, "idioms.second": second,
		"idioms.Explicit": Explicit(), "idioms.started": start(""), "idioms.Direct": Direct(), "idioms.Method": Method(), "idioms.Unshifted": Unshifted(), "idioms.Read": Read(),
		"idioms.Defaulted": Defaulted(), "idioms.AppendedOnce": AppendedOnce(), "idioms.AppendedInBranches": AppendedInBranches(),
	}
}

var _, _ = agreed("i" + "dle"), disagreed("idle")

func generic[S ~string](events fsm.Events) *fsm.FSM { return fsm.NewFSM("idle", events, nil) }

// Explicit names the type of a generic function.
func Explicit() *fsm.FSM { return generic[string](base) }

var _, start = started("idle"), started

var first, second = fsm.NewFSM("idle", base, nil), fsm.NewFSM("x", fsm.Events{{Name: "2", Src: []string{"x"}, Dst: "y"}}, nil)

func branches(e fsm.Events, more bool) fsm.Events {
	if more {
		return append(e, event("more", "y", "x"))
	}
	return append(e, event("less", "z", "x"))
}

func AppendedInBranches() *fsm.FSM {
	return fsm.NewFSM("x", branches(append(fsm.Events{}, event("1", "x", "x")), true), nil)
}
