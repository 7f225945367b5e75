// Package transitions holds the rows of the shutdown machine: which event leads
// from which state to which, why, and what entering a state calls. Everything
// else that knows the machine (the engine, the diagrams, the property
// tests, the documentation) reads these rows.
package transitions

import . "github.com/lastcall-go/lastcall/fsm" //nolint:revive,staticcheck // the rows below are a table: the words of fsm without their package name keep one row on one line

// Shutdown returns the table of a server's shutdown, with the states and labels
// of the gRPC guide on graceful shutdown
// (https://grpc.io/docs/guides/server-graceful-stop/).
func Shutdown() Table {
	table, _ := build() // TestShutdownIsValid: the rows pass NewTable's checks
	return table
}

func build() (Table, error) {
	return NewTable(Serving, "Server Started",
		row(Serving, GracefulShutdownCalled, GracefulShutdown, "Graceful Shutdown Called (with Timeout)", CallGracefulStop, "The server was asked to leave: new work is refused, and a timer bounds the wait for the rest."),
		row(GracefulShutdown, Drained, Terminated, "In-Flight RPCs Completed (Before Timeout)", NoCall, "Everything in flight finished in time: there is nothing to force."),
		row(GracefulShutdown, Timeout, TimerExpired, "Timeout Reached", CallStop, "GracefulStop waits without a bound: the timer is the bound."),
		row(TimerExpired, Stopped, Terminated, "Forceful Shutdown Called", NoCall, "The forceful stop is over, or its share of the time is: what has not come back is named in the report."),
	)
}

// row puts one line of the table into a Transition.
func row(from State, event Event, to State, label string, call Call, why string) Transition {
	return Transition{From: from, Event: event, To: to, Label: label, Call: call, Why: why}
}
