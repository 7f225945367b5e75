package idioms

import (
	. "github.com/looplab/fsm"
	other "github.com/looplab/fsm"
)

type Desc = other.EventDesc

func Dot() *FSM {
	return NewFSM("a", Events{Desc{Name: "x", Src: []string{"a"}, Dst: "b"}}, Callbacks{})
}
