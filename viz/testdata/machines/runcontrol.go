package machines

import "github.com/looplab/fsm"

// An environment of ALICE's run control (AliceO2Group/Control,
// core/environment/environment.go, with looplab/fsm).
var runControl = []fsm.EventDesc{
	{Name: "CONFIGURE", Src: []string{"STANDBY"}, Dst: "CONFIGURED"},
	{Name: "RESET", Src: []string{"CONFIGURED"}, Dst: "STANDBY"},
	{Name: "START_ACTIVITY", Src: []string{"CONFIGURED"}, Dst: "RUNNING"},
	{Name: "STOP_ACTIVITY", Src: []string{"RUNNING"}, Dst: "CONFIGURED"},
	{Name: "EXIT", Src: []string{"CONFIGURED", "STANDBY"}, Dst: "DONE"},
	{Name: "GO_ERROR", Src: []string{"CONFIGURED", "RUNNING"}, Dst: "ERROR"},
	{Name: "RECOVER", Src: []string{"ERROR"}, Dst: "STANDBY"},
	{Name: "EXIT", Src: []string{"ERROR", "RUNNING"}, Dst: "DONE"},
}

// NewRunControl returns an environment on standby.
func NewRunControl() *fsm.FSM { return fsm.NewFSM("STANDBY", runControl, map[string]fsm.Callback{}) }
