package machines

import "github.com/looplab/fsm"

// RaftEvents: the roles of a member, as etcd-io/raft has them (raft.go, StateFollower to
// StatePreCandidate).
var RaftEvents = fsm.Events{
	{Name: "election timeout", Src: []string{"follower"}, Dst: "pre-candidate"},
	{Name: "won pre-vote", Src: []string{"pre-candidate"}, Dst: "candidate"},
	{Name: "lost pre-vote", Src: []string{"pre-candidate"}, Dst: "follower"},
	{Name: "election timeout", Src: []string{"pre-candidate", "candidate"}, Dst: "pre-candidate"},
	{Name: "won vote", Src: []string{"candidate"}, Dst: "leader"},
	{Name: "higher term", Src: []string{"pre-candidate", "candidate", "leader"}, Dst: "follower"},
}

// NewRaft returns a follower.
func NewRaft() *fsm.FSM { return fsm.NewFSM("follower", RaftEvents, fsm.Callbacks{}) }
