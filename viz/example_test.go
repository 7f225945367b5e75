package viz_test

import (
	"fmt"
	"os"
	"slices"

	"github.com/looplab/fsm"

	ours "github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
)

// What looplab's NewFSM is given is enough for a drawing.
func ExampleFromEvents() {
	events := fsm.Events{
		{Name: "pay", Src: []string{"pending"}, Dst: "paid"},
		{Name: "ship", Src: []string{"paid"}, Dst: "shipped"},
		{Name: "cancel", Src: []string{"pending", "paid"}, Dst: "cancelled"},
	}
	order := fsm.NewFSM("pending", events, nil)
	order.SetState("paid")

	machine := viz.FromEvents("pending", events).Mark(viz.Current, order.Current())
	if err := viz.Draw(os.Stdout, machine, viz.Mermaid); err != nil {
		fmt.Println(err)
	}
	// Output:
	// stateDiagram-v2
	//     [*] --> pending
	//     pending --> paid : pay
	//     paid --> shipped : ship
	//     pending --> cancelled : cancel
	//     paid --> cancelled : cancel
	//     classDef current fill:gold,stroke:darkorange,stroke-width:3px,color:black
	//     class paid current
}

// A running machine, of which only its own program knows how it was made.
func ExampleFromFSM() {
	door := fsm.NewFSM("closed", fsm.Events{
		{Name: "open", Src: []string{"closed"}, Dst: "open"},
		{Name: "close", Src: []string{"open"}, Dst: "closed"},
	}, nil)

	if err := viz.Draw(os.Stdout, viz.FromFSM(door), viz.Mermaid); err != nil {
		fmt.Println(err)
	}
	// Output:
	// stateDiagram-v2
	//     closed --> open : open
	//     open --> closed : close
	//     classDef current fill:gold,stroke:darkorange,stroke-width:3px,color:black
	//     class closed current
}

// A table of one's own.
func ExampleFrom() {
	type rule struct{ from, event, to string }
	rules := []rule{
		{"red", "go", "green"},
		{"green", "stop", "red"},
	}
	machine := viz.From("red", slices.All(rules), func(_ int, r rule) []viz.Edge {
		return []viz.Edge{{From: r.from, To: r.to, Label: r.event}}
	})
	if err := viz.Draw(os.Stdout, machine, viz.Mermaid); err != nil {
		fmt.Println(err)
	}
	// Output:
	// stateDiagram-v2
	//     [*] --> red
	//     red --> green : go
	//     green --> red : stop
}

// The shutdown, with the calls that its transitions make and the phases inside its states.
func ExampleFromTable() {
	if err := viz.Draw(os.Stdout, viz.FromTable(transitions.Shutdown(), viz.Calls, viz.Phases), viz.Mermaid); err != nil {
		fmt.Println(err)
	}
	// Output:
	// stateDiagram-v2
	//     state SERVING {
	//         [*] --> start
	//         start --> serve
	//         serve --> announce
	//         announce --> settle
	//     }
	//     state GRACEFUL_SHUTDOWN {
	//         [*] --> drain
	//     }
	//     state TERMINATED {
	//         [*] --> close
	//         close --> flush
	//     }
	//     state TIMER_EXPIRED {
	//         [*] --> cancel
	//         cancel --> stop
	//         stop --> cut
	//         cut --> wait
	//     }
	//     [*] --> SERVING : Server Started
	//     SERVING --> GRACEFUL_SHUTDOWN : Graceful Shutdown Called (with Timeout) / GracefulStop
	//     GRACEFUL_SHUTDOWN --> TERMINATED : In-Flight RPCs Completed (Before Timeout)
	//     GRACEFUL_SHUTDOWN --> TIMER_EXPIRED : Timeout Reached / Stop
	//     TIMER_EXPIRED --> TERMINATED : Forceful Shutdown Called
}

// A run that ended by force.
func ExampleMachine_Path() {
	machine := viz.FromTable(transitions.Shutdown()).
		Path("SERVING", "GRACEFUL_SHUTDOWN", "TIMER_EXPIRED", "TERMINATED").
		Mark(viz.Forced, ours.TimerExpired.String()).
		Note("TIMER_EXPIRED", "3 RPCs were cancelled")
	machine.Title, machine.Direction = "orders, 14:02", viz.LeftRight
	if err := viz.Draw(os.Stdout, machine, viz.Mermaid); err != nil {
		fmt.Println(err)
	}
	// Output:
	// ---
	// title: "orders, 14\x3A02"
	// ---
	// stateDiagram-v2
	//     direction LR
	//     [*] --> SERVING : Server Started
	//     SERVING --> GRACEFUL_SHUTDOWN : ✓ Graceful Shutdown Called (with Timeout)
	//     GRACEFUL_SHUTDOWN --> TERMINATED : In-Flight RPCs Completed (Before Timeout)
	//     GRACEFUL_SHUTDOWN --> TIMER_EXPIRED : ⚡ Timeout Reached
	//     TIMER_EXPIRED --> TERMINATED : ⚡ Forceful Shutdown Called
	//     note right of TIMER_EXPIRED : 3 RPCs were cancelled
	//     classDef visited fill:lightgreen,stroke:darkgreen,stroke-width:3px,color:black
	//     class SERVING,GRACEFUL_SHUTDOWN,TERMINATED visited
	//     classDef forced fill:lightsalmon,stroke:darkred,stroke-width:3px,color:black
	//     class TIMER_EXPIRED forced
}
