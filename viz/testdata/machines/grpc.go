package machines

import (
	"github.com/looplab/fsm"

	"github.com/lastcall-go/lastcall/viz/testdata/machines/words"
)

// Idle is where a channel starts.
const Idle = words.Idle

// A channel's connectivity (grpc/grpc, doc/connectivity-semantics-and-api.md).
var grpcEvents = fsm.Events{
	{Name: "rpc", Src: []string{words.Idle}, Dst: words.Connecting},
	{Name: "handshakes done", Src: []string{words.Connecting}, Dst: words.Ready},
	{Name: "step taken", Src: []string{words.Connecting}, Dst: words.Connecting},
	{Name: "step failed", Src: []string{words.Connecting}, Dst: words.TransientFailure},
	{Name: "success on subchannel", Src: []string{words.Ready}, Dst: words.Ready},
	{Name: "failure", Src: []string{words.Ready}, Dst: words.TransientFailure},
	{Name: "idle timeout", Src: []string{words.Connecting, words.Ready}, Dst: words.Idle},
	{Name: "backoff over", Src: []string{words.TransientFailure}, Dst: words.Connecting},
	{Name: "close", Src: []string{words.Idle, words.Connecting, words.Ready, words.TransientFailure}, Dst: words.Shutdown},
}

// NewConnectivity returns an idle channel.
func NewConnectivity() *fsm.FSM { return fsm.NewFSM(Idle, grpcEvents, fsm.Callbacks{}) }
