package machines

import "github.com/looplab/fsm"

// TCPEvents: a connection (RFC 9293, figure 5).
var TCPEvents = fsm.Events{
	{Name: "passive OPEN", Src: []string{"CLOSED"}, Dst: "LISTEN"},
	{Name: "active OPEN / SYN", Src: []string{"CLOSED"}, Dst: "SYN-SENT"},
	{Name: "CLOSE", Src: []string{"LISTEN", "SYN-SENT"}, Dst: "CLOSED"},
	{Name: "rcv SYN / SYN,ACK", Src: []string{"LISTEN"}, Dst: "SYN-RECEIVED"},
	{Name: "SEND / SYN", Src: []string{"LISTEN"}, Dst: "SYN-SENT"},
	{Name: "rcv SYN / SYN,ACK", Src: []string{"SYN-SENT"}, Dst: "SYN-RECEIVED"},
	{Name: "rcv SYN,ACK / ACK", Src: []string{"SYN-SENT"}, Dst: "ESTABLISHED"},
	{Name: "rcv RST", Src: []string{"SYN-RECEIVED"}, Dst: "LISTEN"},
	{Name: "rcv ACK of SYN", Src: []string{"SYN-RECEIVED"}, Dst: "ESTABLISHED"},
	{Name: "CLOSE / FIN", Src: []string{"SYN-RECEIVED", "ESTABLISHED"}, Dst: "FIN-WAIT-1"},
	{Name: "rcv FIN / ACK", Src: []string{"ESTABLISHED"}, Dst: "CLOSE-WAIT"},
	{Name: "rcv ACK of FIN", Src: []string{"FIN-WAIT-1"}, Dst: "FIN-WAIT-2"},
	{Name: "rcv FIN / ACK", Src: []string{"FIN-WAIT-1"}, Dst: "CLOSING"},
	{Name: "rcv FIN,ACK / ACK", Src: []string{"FIN-WAIT-1"}, Dst: "TIME-WAIT"},
	{Name: "rcv FIN / ACK", Src: []string{"FIN-WAIT-2"}, Dst: "TIME-WAIT"},
	{Name: "rcv ACK of FIN", Src: []string{"CLOSING"}, Dst: "TIME-WAIT"},
	{Name: "CLOSE / FIN", Src: []string{"CLOSE-WAIT"}, Dst: "LAST-ACK"},
	{Name: "rcv ACK of FIN", Src: []string{"LAST-ACK"}, Dst: "CLOSED"},
	{Name: "timeout=2MSL", Src: []string{"TIME-WAIT"}, Dst: "CLOSED"},
	{Name: "rcv RST", Src: []string{"ESTABLISHED"}, Dst: "CLOSED"},
}

// NewTCP returns a closed connection.
func NewTCP() *fsm.FSM { return fsm.NewFSM("CLOSED", TCPEvents, fsm.Callbacks{}) }
