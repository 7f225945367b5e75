// Package undrawn has a machine that can be evaluated and not drawn, beside one that can.
package undrawn

import "github.com/looplab/fsm"

// Nameless has a state without a name.
func Nameless() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "x", Src: []string{""}, Dst: "b"}}, nil)
}

// Fine is the other one.
func Fine() *fsm.FSM {
	return fsm.NewFSM("a", fsm.Events{{Name: "x", Src: []string{"a"}, Dst: "b"}}, nil)
}
