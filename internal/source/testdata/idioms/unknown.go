package idioms

import (
	"fmt"
	"os"
	"strings"

	"github.com/looplab/fsm"
)

func Loop() *fsm.FSM {
	var events fsm.Events
	for _, s := range all {
		events = append(events, fsm.EventDesc{Name: "to " + s, Src: all, Dst: s}) // Loop
	}
	return fsm.NewFSM("idle", events, nil)
}

func Environment() *fsm.FSM {
	return fsm.NewFSM("idle", fsm.Events{{Name: os.Getenv("EVENT"), Src: all, Dst: "x"}}, nil) // Environment
}

func Sprintf() *fsm.FSM {
	return fsm.NewFSM("idle", fsm.Events{
		{Name: "x", Src: []string{"idle", fmt.Sprintf("%s_%d", "a", 1)}, Dst: "x"}, // Sprintf
	}, nil)
}

func Upper() *fsm.FSM {
	return fsm.NewFSM("idle", fsm.Events{{Name: "x", Src: all, Dst: strings.ToUpper("x")}}, nil) // Upper
}

var changed = "a"

func change() { changed = "b" } // Changed

func Changed() *fsm.FSM {
	return fsm.NewFSM("idle", fsm.Events{{Name: "x", Src: all, Dst: changed}}, nil)
}

func Element() *fsm.FSM {
	events := fsm.Events{{Name: "x", Src: all, Dst: "y"}}
	events[0].Dst = "z" // Element
	return fsm.NewFSM("idle", events, nil)
}

func recursive(n int) fsm.Events { return append(recursive(n+1), recursive(n+2)...) } // Recursive

func Recursive() *fsm.FSM { return fsm.NewFSM("idle", recursive(0), nil) }

func Parameter(events fsm.Events) *fsm.FSM { // Parameter
	return fsm.NewFSM("idle", events, nil)
}

var New = fsm.NewFSM // NewFSM

func Multiple() *fsm.FSM { return fsm.NewFSM(two()) } // Multiple

func two() (string, []fsm.EventDesc, map[string]fsm.Callback) { return "", nil, nil }

var aliased = fsm.Events{{Name: "x", Src: all, Dst: "y"}}

func alias() {
	other := aliased
	other[0].Dst = "z" // Aliased
}

func Aliased() *fsm.FSM { return fsm.NewFSM("idle", aliased, nil) }

var tweaked = fsm.Events{{Name: "x", Src: all, Dst: "y"}}

func tweak(events fsm.Events) { events[0].Dst = "z" } // Tweaked

func Tweaked() *fsm.FSM {
	tweak(tweaked)
	return fsm.NewFSM("idle", tweaked, nil)
}

type config struct{ events fsm.Events }

func (c *config) add(e fsm.EventDesc) { c.events = append(c.events, e) } // Config

func Config() *fsm.FSM {
	c := config{}
	c.add(fsm.EventDesc{Name: "x", Src: all, Dst: "y"})
	return fsm.NewFSM("idle", c.events, nil)
}

func Copied() *fsm.FSM {
	events := make(fsm.Events, 1)
	copy(events, base) // Copied
	return fsm.NewFSM("idle", events, nil)
}

var handed = fsm.Events{{Name: "x", Src: []string{"w"}, Dst: "y"}}

func Handed(hook func(fsm.Events)) *fsm.FSM {
	hook(handed) // Handed
	return fsm.NewFSM("idle", handed, nil)
}

type hook interface{ change(events fsm.Events) }

var given = fsm.Events{{Name: "x", Src: []string{"w"}, Dst: "y"}}

func Given(h hook) *fsm.FSM {
	h.change(given) // Given
	return fsm.NewFSM("idle", given, nil)
}

func lent(events fsm.Events) *fsm.FSM { return fsm.NewFSM("idle", events, nil) }

func Direct() *fsm.FSM { return lent(fsm.Events{{Name: "x", Src: all, Dst: "y"}}) }

var maker = lent // lent

type shop struct{}

func (shop) through(events fsm.Events) *fsm.FSM { return fsm.NewFSM("idle", events, nil) }

func Method() *fsm.FSM { return shop{}.through(fsm.Events{{Name: "x", Src: all, Dst: "y"}}) }

func Interface(b interface {
	through(events fsm.Events) *fsm.FSM
},
) *fsm.FSM {
	return b.through(fsm.Events{{Name: "lost", Src: []string{"w"}, Dst: "y"}}) // through
}

func (shop) shifted(_, events fsm.Events) *fsm.FSM { return fsm.NewFSM("idle", events, nil) }

func Unshifted() *fsm.FSM { return shop{}.shifted(nil, base) }

func Shifted() *fsm.FSM {
	return shop.shifted(shop{}, nil, fsm.Events{{Name: "x", Src: []string{"w"}, Dst: "y"}}) // shifted
}

// started is called with "idle" by name, and as a value with another state.
func started(initial string) *fsm.FSM { return fsm.NewFSM(initial, base, nil) }
