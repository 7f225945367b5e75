// Package machines holds state machines of public software and standards, re-typed as
// looplab's Events: what people draw with package viz. Each file says where its machine
// comes from. They are written in the different ways in which people write such tables.
package machines

import "github.com/looplab/fsm"

// Machine is one of them.
type Machine struct {
	Name    string
	Initial string
	Events  fsm.Events
	States  int // how many it has
	Edges   int
	New     func() *fsm.FSM // as a program makes it
}

// All returns the machines, the small ones first.
func All() []Machine {
	return []Machine{
		{"raft", "follower", RaftEvents, 4, 9, NewRaft},
		{"pod", "Pending", PodEvents(), 5, 9, NewPod},
		{"elevator", "idle", ElevatorEvents, 5, 11, NewElevator},
		{"grpc", Idle, grpcEvents, 5, 13, NewConnectivity},
		{"run control", "STANDBY", runControl, 5, 11, NewRunControl},
		{"bgp", stateIdle, bgpEvents, 6, 25, NewBGP},
		{"print job", "Pending", PrintJobEvents, 7, 11, NewPrintJob},
		{"ci job", "created", jobEvents, 11, 36, NewJob},
		{"order", "cart", CheckoutEvents, 10, 19, NewCheckout},
		{"tcp", "CLOSED", TCPEvents, 11, 22, NewTCP},
		{"node", "enroll", NodeEvents, 24, 64, NewNode},
	}
}
