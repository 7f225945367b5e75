package fsm_test

import (
	"fmt"

	"github.com/lastcall-go/lastcall/fsm"
)

// A machine walks its table. An event that has no row in the present state is
// refused, and nothing changes.
func Example() {
	table, err := fsm.NewTable(fsm.Serving, "Server Started",
		fsm.Transition{From: fsm.Serving, Event: fsm.GracefulShutdownCalled, To: fsm.GracefulShutdown},
		fsm.Transition{From: fsm.GracefulShutdown, Event: fsm.Drained, To: fsm.Terminated},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	machine := fsm.New(table, func(t fsm.Transition) { fmt.Println("entered", t.To) })

	_, err = machine.Fire(fsm.Timeout)
	fmt.Println(err)
	_, err = machine.Fire(fsm.GracefulShutdownCalled)
	fmt.Println(machine.State(), err)
	// Output:
	// fsm: event timeout is illegal in state SERVING
	// entered GRACEFUL_SHUTDOWN
	// GRACEFUL_SHUTDOWN <nil>
}
