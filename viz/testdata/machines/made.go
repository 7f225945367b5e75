package machines

import "github.com/lastcall-go/lastcall/viz"

// Everything has all that a machine can have.
func Everything() viz.Machine {
	return viz.Machine{
		Title: "All: at once", Initial: "a", Start: "begin",
		States: []viz.State{
			{Name: "a", Label: "An <b>a</b>", Notes: []string{"first", "second: x"}, Class: viz.Visited},
			{Name: "outer", Label: "out er", Initial: "in 1", Class: viz.Current, Notes: []string{"around"}, States: []viz.State{
				{Name: "in 1", Initial: "deep", States: []viz.State{{Name: "deep", Terminal: true}}},
				{Name: "in2", Class: viz.Forced, Terminal: true},
				{Name: "alone in here"},
			}},
			{Name: "alone"},
			{Name: "end", Terminal: true},
		},
		Edges: []viz.Edge{
			{From: "a", To: "outer", Label: "go", Class: viz.Visited},
			{From: "a", To: "a", Label: "again"},
			{From: "a", To: "a", Label: "and again", Class: viz.Visited},
			{From: "in 1", To: "in2", Label: "deeper", Class: viz.Forced},
			{From: "in2", To: "in2"},
			{From: "outer", To: "end", Label: "enough"},
			{From: "outer", To: "outer", Label: "stay"},
			{From: "outer", To: "a"},
		},
	}
}

// Groups has edges across the borders of states, and starts inside of one.
func Groups() viz.Machine {
	return viz.Machine{
		Initial: "working",
		States: []viz.State{
			{Name: "busy", States: []viz.State{{Name: "working"}, {Name: "slow", States: []viz.State{{Name: "waiting"}}}}},
			{Name: "sick", Label: "not well", States: []viz.State{{Name: "bad"}, {Name: "worse"}}},
			{Name: "killed"},
		},
		Edges: []viz.Edge{
			{From: "working", To: "waiting", Label: "block"}, {From: "waiting", To: "working", Label: "wake"}, {From: "waiting", To: "bad", Label: "timeout"}, {From: "bad", To: "worse", Label: "more"},
			{From: "worse", To: "busy", Label: "heal"}, {From: "busy", To: "killed", Label: "kill"}, {From: "sick", To: "killed", Label: "kill"}, {From: "slow", To: "waiting", Label: "give up"},
		},
	}
}
