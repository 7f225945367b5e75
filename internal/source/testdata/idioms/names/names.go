// Package names has what package idioms takes from elsewhere.
package names

import "github.com/looplab/fsm"

const Prefix = "job_"

var Idle = "idle"

type Phase int

const (
	Cold Phase = iota
	Warm
	Hot
)

func (p Phase) String() string { return [...]string{"cold", "warm", "hot"}[p] }

type Color uint8

const (
	Red Color = iota + 1
	Green
)

func (c Color) String() string {
	switch c {
	case Red:
		return "red"
	case Green:
		return "green"
	default:
		return "?"
	}
}

// Door is the events of a door.
var Door = fsm.Events{
	{Name: "open", Src: []string{"closed"}, Dst: "open"},
	{Name: "close", Src: []string{"open"}, Dst: "closed"},
}

// Make hands its parameters on.
func Make(start string, events fsm.Events) *fsm.FSM { return fsm.NewFSM(start, events, nil) }
