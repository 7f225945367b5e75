package broken

import "github.com/looplab/fsm"

func New() *fsm.FSM { return fsm.NewFSM("a", Missing, nil) }
