package machines

import "github.com/looplab/fsm"

const (
	stateIdle        = "Idle"
	stateConnect     = "Connect"
	stateActive      = "Active"
	openPrefix       = "Open"
	stateOpenSent    = openPrefix + "Sent"
	stateOpenConfirm = openPrefix + "Confirm"
	stateEstablished = "Established"
)

var bgpBusy = []string{stateConnect, stateActive, stateOpenSent, stateOpenConfirm, stateEstablished}

// A BGP peer (RFC 4271, section 8.2.2), with its main events.
var bgpEvents = fsm.Events{
	{Name: "ManualStart", Src: []string{stateIdle}, Dst: stateConnect},
	{Name: "PassiveStart", Src: []string{stateIdle}, Dst: stateActive},
	{Name: "ManualStop", Src: bgpBusy, Dst: stateIdle},
	{Name: "ConnectRetryTimer", Src: []string{stateConnect, stateActive}, Dst: stateConnect},
	{Name: "TcpConnected", Src: []string{stateConnect, stateActive}, Dst: stateOpenSent},
	{Name: "TcpFails", Src: []string{stateConnect}, Dst: stateActive},
	{Name: "TcpFails", Src: []string{stateOpenSent}, Dst: stateActive},
	{Name: "TcpFails", Src: []string{stateActive, stateOpenConfirm, stateEstablished}, Dst: stateIdle},
	{Name: "BGPOpen", Src: []string{stateOpenSent}, Dst: stateOpenConfirm},
	{Name: "KeepAliveMsg", Src: []string{stateOpenConfirm, stateEstablished}, Dst: stateEstablished},
	{Name: "HoldTimer" + "Expires", Src: []string{stateOpenSent, stateOpenConfirm, stateEstablished}, Dst: stateIdle},
	{Name: "NotifMsg", Src: []string{stateOpenSent, stateOpenConfirm, stateEstablished}, Dst: stateIdle},
}

// NewBGP returns an idle peer.
func NewBGP() *fsm.FSM { return fsm.NewFSM(stateIdle, bgpEvents, fsm.Callbacks{}) }
