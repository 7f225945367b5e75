package machines

import "github.com/looplab/fsm"

// PrintJobEvents: a print job (RFC 8011, section 5.3.7).
var PrintJobEvents = fsm.Events{
	{Name: "hold", Src: []string{"Pending"}, Dst: "PendingHeld"},
	{Name: "release", Src: []string{"PendingHeld"}, Dst: "Pending"},
	{Name: "process", Src: []string{"Pending"}, Dst: "Processing"},
	{Name: "stop", Src: []string{"Processing"}, Dst: "ProcessingStopped"},
	{Name: "resume", Src: []string{"ProcessingStopped"}, Dst: "Processing"},
	{Name: "complete", Src: []string{"Processing"}, Dst: "Completed"},
	{Name: "cancel", Src: []string{"Pending", "PendingHeld", "Processing"}, Dst: "Canceled"},
	{Name: "abort", Src: []string{"Processing", "ProcessingStopped"}, Dst: "Aborted"},
}

// NewPrintJob returns a pending job.
func NewPrintJob() *fsm.FSM {
	const initial = "Pending"
	return fsm.NewFSM(initial, PrintJobEvents, fsm.Callbacks{})
}
