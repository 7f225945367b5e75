package machines

import "github.com/looplab/fsm"

const (
	created, waiting, preparing, pending, running       = "created", "waiting_for_resource", "preparing", "pending", "running"
	success, failed, canceled, skipped, manual, delayed = "success", "failed", "canceled", "skipped", "manual", "scheduled"
)

// A job of GitLab CI (gitlab-org/gitlab, app/models/commit_status.rb and ci/build.rb).
var jobEvents = fsm.Events{
	{Name: "process", Src: []string{skipped, manual}, Dst: created},
	{Name: "enqueue", Src: []string{created, waiting, preparing, skipped, manual, delayed}, Dst: pending},
	{Name: "enqueue_waiting_for_resource", Src: []string{created, skipped, manual, delayed}, Dst: waiting},
	{Name: "enqueue_preparing", Src: []string{created, waiting, skipped, manual, delayed}, Dst: preparing},
	{Name: "schedule", Src: []string{created}, Dst: delayed},
	{Name: "unschedule", Src: []string{delayed}, Dst: manual},
	{Name: "actionize", Src: []string{created}, Dst: manual},
	{Name: "run", Src: []string{pending}, Dst: running},
	{Name: "skip", Src: []string{created, preparing, pending}, Dst: skipped},
	{Name: "drop", Src: []string{created, preparing, pending, running}, Dst: failed},
	{Name: "success", Src: []string{created, preparing, pending, running}, Dst: success},
	{Name: "cancel", Src: []string{pending, running, manual, delayed}, Dst: canceled},
}

// NewJob returns a job that was created.
func NewJob() *fsm.FSM { return fsm.NewFSM(created, jobEvents, fsm.Callbacks{}) }
