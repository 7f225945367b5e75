package machines

import "github.com/looplab/fsm"

const wait, fail = " wait", " failed"

// The states of a machine that OpenStack provisions.
const (
	Enroll, Verifying, Manageable, Available, Active = "enroll", "verifying", "manageable", "available", "active"

	Deploying, DeployWait, DeployFail    = "deploying", "deploy" + wait, "deploy" + fail
	Cleaning, CleanWait, CleanFail       = "cleaning", "clean" + wait, "clean" + fail
	Inspecting, InspectWait, InspectFail = "inspecting", "inspect" + wait, "inspect" + fail
	Rescuing, RescueWait, RescueFail     = "rescuing", "rescue" + wait, "rescue" + fail
	Adopting, AdoptFail                  = "adopting", "adopt" + fail
	Rescue, Unrescuing, UnrescueFail     = "rescue", "unrescuing", "unrescue" + fail
	Deleting, ErrorState                 = "deleting", "error"
)

// NodeEvents: a bare-metal node of OpenStack Ironic (openstack/ironic,
// ironic/common/states.py).
var NodeEvents = fsm.Events{
	{Name: "manage", Src: []string{Enroll}, Dst: Verifying},
	{Name: "done", Src: []string{Verifying}, Dst: Manageable},
	{Name: "fail", Src: []string{Verifying}, Dst: Enroll},
	{Name: "inspect", Src: []string{Manageable, InspectFail}, Dst: Inspecting},
	{Name: "done", Src: []string{Inspecting, InspectWait}, Dst: Manageable},
	{Name: "wait", Src: []string{Inspecting}, Dst: InspectWait},
	{Name: "resume", Src: []string{InspectWait}, Dst: Inspecting},
	{Name: "fail", Src: []string{Inspecting, InspectWait}, Dst: InspectFail},
	{Name: "abort", Src: []string{InspectWait}, Dst: InspectFail},
	{Name: "provide", Src: []string{Manageable}, Dst: Cleaning},
	{Name: "clean", Src: []string{Manageable, Deleting}, Dst: Cleaning},
	{Name: "wait", Src: []string{Cleaning}, Dst: CleanWait},
	{Name: "resume", Src: []string{CleanWait}, Dst: Cleaning},
	{Name: "fail", Src: []string{Cleaning, CleanWait}, Dst: CleanFail},
	{Name: "abort", Src: []string{CleanWait}, Dst: CleanFail},
	{Name: "manage", Src: []string{Cleaning, CleanFail, InspectFail, AdoptFail, Available}, Dst: Manageable},
	{Name: "done", Src: []string{Cleaning}, Dst: Available},
	{Name: "adopt", Src: []string{Manageable, AdoptFail}, Dst: Adopting},
	{Name: "fail", Src: []string{Adopting}, Dst: AdoptFail},
	{Name: "done", Src: []string{Adopting, Deploying, Unrescuing}, Dst: Active},
	{Name: "deploy", Src: []string{Available, DeployFail}, Dst: Deploying},
	{Name: "rebuild", Src: []string{Active, DeployFail, ErrorState}, Dst: Deploying},
	{Name: "wait", Src: []string{Deploying}, Dst: DeployWait},
	{Name: "resume", Src: []string{DeployWait}, Dst: Deploying},
	{Name: "fail", Src: []string{Deploying, DeployWait}, Dst: DeployFail},
	{Name: "delete", Src: []string{Active, DeployWait, DeployFail, ErrorState, Rescue, RescueFail, RescueWait, UnrescueFail}, Dst: Deleting},
	{Name: "fail", Src: []string{Deleting}, Dst: ErrorState},
	{Name: "rescue", Src: []string{Active, Rescue, RescueFail, UnrescueFail}, Dst: Rescuing},
	{Name: "done", Src: []string{Rescuing}, Dst: Rescue},
	{Name: "wait", Src: []string{Rescuing}, Dst: RescueWait},
	{Name: "resume", Src: []string{RescueWait}, Dst: Rescuing},
	{Name: "fail", Src: []string{Rescuing, RescueWait}, Dst: RescueFail},
	{Name: "abort", Src: []string{RescueWait}, Dst: RescueFail},
	{Name: "unrescue", Src: []string{Rescue, RescueFail, UnrescueFail}, Dst: Unrescuing},
	{Name: "fail", Src: []string{Unrescuing}, Dst: UnrescueFail},
}

// NewNode returns a node that was just enrolled.
func NewNode() *fsm.FSM { return fsm.NewFSM(Enroll, NodeEvents, fsm.Callbacks{}) }
