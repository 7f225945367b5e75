package fsm_test

import (
	"fmt"

	"github.com/lastcall-go/lastcall/fsm"
)

// A machine walks its table, and returns the row that it has taken. An event that has no
// row in the present state is refused, and nothing changes.
func Example() {
	table, err := fsm.NewTable(fsm.Serving, "Server Started",
		fsm.Transition{From: fsm.Serving, Event: fsm.GracefulShutdownCalled, To: fsm.GracefulShutdown, Call: fsm.CallGracefulStop},
		fsm.Transition{From: fsm.GracefulShutdown, Event: fsm.Drained, To: fsm.Terminated},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	machine := fsm.New(table)

	_, err = machine.Fire(fsm.Timeout)
	fmt.Println(err)
	row, err := machine.Fire(fsm.GracefulShutdownCalled)
	fmt.Println(machine.State(), err)
	if row.Call == fsm.CallGracefulStop {
		fmt.Println("the caller calls", row.Call)
	}
	// Output:
	// fsm: event timeout is illegal in state SERVING
	// GRACEFUL_SHUTDOWN <nil>
	// the caller calls GracefulStop
}
