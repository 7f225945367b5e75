// Package words holds names that machines in another package use.
package words

// The states of a gRPC channel.
const (
	Idle             = "IDLE"
	Connecting       = "CONNECTING"
	Ready            = "READY"
	TransientFailure = "TRANSIENT_FAILURE"
	Shutdown         = "SHUTDOWN"
)
