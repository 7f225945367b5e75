package machines

import "github.com/looplab/fsm"

// PodEvents: the phases of a pod (k8s.io/api/core/v1, PodPhase), and what moves it
// (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/).
func PodEvents() fsm.Events {
	return fsm.Events{
		{Name: "containers started", Src: []string{"Pending"}, Dst: "Running"},
		{Name: "all containers exited 0", Src: []string{"Running"}, Dst: "Succeeded"},
		{Name: "a container failed", Src: []string{"Pending", "Running"}, Dst: "Failed"},
		{Name: "node lost", Src: []string{"Pending", "Running"}, Dst: "Unknown"},
		{Name: "node back", Src: []string{"Unknown"}, Dst: "Running"},
		{Name: "evicted", Src: []string{"Running"}, Dst: "Failed"},
		{Name: "container restarted", Src: []string{"Running"}, Dst: "Running"},
	}
}

// NewPod returns a pending pod.
func NewPod() *fsm.FSM { return fsm.NewFSM("Pending", PodEvents(), nil) }
