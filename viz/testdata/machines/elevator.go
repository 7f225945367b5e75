package machines

import (
	"context"

	"github.com/looplab/fsm"
)

// ElevatorEvents: an elevator, as in most textbooks. It never ends.
var ElevatorEvents = fsm.Events{
	{Name: "call above", Src: []string{"idle", "doors closed"}, Dst: "moving up"},
	{Name: "call below", Src: []string{"idle", "doors closed"}, Dst: "moving down"},
	{Name: "arrive", Src: []string{"moving up", "moving down"}, Dst: "doors open"},
	{Name: "call here", Src: []string{"idle"}, Dst: "doors open"},
	{Name: "timeout", Src: []string{"doors open"}, Dst: "doors closed"},
	{Name: "obstructed", Src: []string{"doors closed", "doors open"}, Dst: "doors open"},
	{Name: "no calls", Src: []string{"doors closed"}, Dst: "idle"},
}

// NewElevator returns an elevator at rest.
func NewElevator() *fsm.FSM {
	return fsm.NewFSM(
		"idle",
		ElevatorEvents,
		fsm.Callbacks{"enter_state": func(context.Context, *fsm.Event) {}},
	)
}
