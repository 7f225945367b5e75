// Package names has what package idioms takes from elsewhere.
package names

import (
	"strconv"

	"github.com/looplab/fsm"
)

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

// Gear is written as golang.org/x/tools/cmd/stringer writes it.
type Gear int

const (
	Reverse Gear = iota + 1
	Neutral
	First
)

func _() {
	var x [1]struct{}
	_ = x[Reverse-1]
}

const _Gear_name = "ReverseNeutralFirst"

var _Gear_index = [...]uint8{0, 7, 14, 19}

func (i Gear) String() string {
	idx := int(i) - 1
	if i < 1 || idx >= len(_Gear_index)-1 {
		return "Gear(" + strconv.FormatInt(int64(i), 10) + ")"
	}
	return _Gear_name[_Gear_index[idx]:_Gear_index[idx+1]]
}

// Kind has a String method of conditions.
type Kind string

func (k Kind) String() string {
	switch {
	case k == "":
		return "none"
	case len(k) > 3:
		return "long" + "_" + string(k)[1:3]
	}
	return string(k)
}
