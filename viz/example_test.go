package viz_test

import (
	"fmt"
	"os"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
)

// The shutdown, as the gRPC guide draws it.
func ExampleState() {
	if err := viz.State(os.Stdout, transitions.Shutdown()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// stateDiagram-v2
	//     [*] --> SERVING : Server Started
	//     SERVING --> GRACEFUL_SHUTDOWN : Graceful Shutdown Called (with Timeout)
	//     GRACEFUL_SHUTDOWN --> TERMINATED : In-Flight RPCs Completed (Before Timeout)
	//     GRACEFUL_SHUTDOWN --> TIMER_EXPIRED : Timeout Reached
	//     TIMER_EXPIRED --> TERMINATED : Forceful Shutdown Called
}

// A run that ended by force, from left to right, with the calls that were made.
func ExampleState_run() {
	path := []fsm.State{fsm.Serving, fsm.GracefulShutdown, fsm.TimerExpired, fsm.Terminated}
	err := viz.State(os.Stdout, transitions.Shutdown(),
		viz.Title("orders, 14:02"),
		viz.Direction("LR"),
		viz.Calls(),
		viz.Note(fsm.TimerExpired, "3 RPCs were cancelled"),
		viz.Path(path...),
	)
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// ---
	// title: "orders, 14\x3A02"
	// ---
	// stateDiagram-v2
	//     direction LR
	//     [*] --> SERVING : Server Started
	//     SERVING --> GRACEFUL_SHUTDOWN : Graceful Shutdown Called (with Timeout) / GracefulStop
	//     GRACEFUL_SHUTDOWN --> TERMINATED : In-Flight RPCs Completed (Before Timeout)
	//     GRACEFUL_SHUTDOWN --> TIMER_EXPIRED : Timeout Reached / Stop
	//     TIMER_EXPIRED --> TERMINATED : Forceful Shutdown Called
	//     note right of TIMER_EXPIRED : 3 RPCs were cancelled
	//     classDef taken fill:lightgreen,stroke:darkgreen,stroke-width:3px,color:black
	//     class SERVING,GRACEFUL_SHUTDOWN,TERMINATED,TIMER_EXPIRED taken
}

// What client and server say to each other, as the gRPC guide draws it.
func ExampleSequence() {
	if err := viz.Sequence(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// sequenceDiagram
	//     participant Client
	//     participant Server
	//     Client->>Server: New RPC Request 1
	//     Client->>Server: New RPC Request 2
	//     Server-->>Server: Graceful Shutdown Invoked
	//     Server->>Client: Continues Processing In-Flight RPCs
	//     Client->>Client: Detects server shutdown and finds other servers if available
	//     alt RPCs complete within timeout
	//         Server->>Client: Completes RPC 1
	//         Server->>Client: Completes RPC 2
	//         Server-->>Server: Graceful Shutdown Complete
	//     else Timeout reached
	//         Server->>Client: Forceful Shutdown Invoked, terminating pending RPCs
	//         Server-->>Server: Forceful Shutdown Complete
	//     end
}
