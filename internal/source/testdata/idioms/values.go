package idioms

// Values that are not those that stand where they are given. None is drawn: as in shared.go.
// Defaulted is, without its initial state.

import (
	_ "embed"
	"encoding/json"

	"github.com/looplab/fsm"
)

func defaulted(initial string, events fsm.Events) *fsm.FSM {
	if initial == "" {
		initial = "a"
	}
	return fsm.NewFSM(initial, events, nil)
}

func Defaulted() *fsm.FSM {
	return defaulted("", fsm.Events{{Name: "go", Src: []string{"a"}, Dst: "b"}})
}

func filled(name, dst string) *fsm.FSM {
	if dst == "" {
		dst = "z" // Filled
	}
	return fsm.NewFSM("a", fsm.Events{{Name: name, Src: []string{"a"}, Dst: dst}}, nil)
}

func Filled() *fsm.FSM { return filled("go", "") }

func overwritten(name string, src []string) *fsm.FSM {
	src[0] = "z" // Overwritten
	return fsm.NewFSM("a", fsm.Events{{Name: name, Src: src, Dst: "b"}}, nil)
}

func Overwritten() *fsm.FSM { return overwritten("go", []string{"a"}) }

var (
	room1 = append([]string{"a", "b", "c"}, "d") // has room for another two
	room2 = append(room1, "e")
	room3 = append(room1, "z") // AppendedTwice
)

func AppendedTwice() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: room2, Dst: room3[0]}}, nil)
}

var room4 = append([]string{"a", "b", "c"}, "d")

func room5(s string) []string { return append(room4, s) } // AppendedInFunction

func AppendedInFunction() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: room5("e"), Dst: room5("z")[0]}}, nil)
}

var filtered = []string{"a", "b"}

func init() {
	kept := filtered[:0]
	for _, s := range filtered[1:] {
		kept = append(kept, s) // FilteredInPlace
	}
}

func FilteredInPlace() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: filtered, Dst: "c"}}, nil)
}

// AppendedOnce has a list that only one other continues.
func AppendedOnce() *fsm.FSM {
	room := append([]string{"a", "b", "c"}, "d")
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: append(room, "e"), Dst: "f"}}, nil)
}

//go:embed dot.go
var embedded string // Embedded

func Embedded() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: []string{"a"}, Dst: "b" + embedded}}, nil)
}

type tiny uint8

func (t tiny) String() string {
	switch t {
	case 1:
		return "one"
	default:
		return "other"
	}
}

var large = 257

func Overflowed() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: []string{"a"}, Dst: tiny(large).String()}}, nil) // Overflowed
}

func Decoded() *fsm.FSM {
	cfg := &struct{ Dst string }{"b"}
	_ = json.Unmarshal([]byte(`{"Dst": "z"}`), cfg) // Decoded
	return fsm.NewFSM("a", fsm.Events{{Name: "go", Src: []string{"a"}, Dst: cfg.Dst}}, nil)
}
