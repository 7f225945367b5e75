package lastcall

import "time"

// WorkKind is a kind of work.
type WorkKind string

// The kinds of work.
const (
	WorkUnary        WorkKind = "unary"          // RPCs with one request and one answer
	WorkClientStream WorkKind = "client_stream"  // RPCs with a stream of requests
	WorkServerStream WorkKind = "server_stream"  // RPCs with a stream of answers
	WorkBidiStream   WorkKind = "bidi_stream"    // RPCs with both
	WorkRequest      WorkKind = "request"        // HTTP requests
	WorkConn         WorkKind = "connection"     // connections of other protocols, or that an HTTP handler has taken over
	WorkTask         WorkKind = "task"           // pieces of work in the background
	WorkInfra        WorkKind = "infrastructure" // health, reflection and the like: not what the service is for
	WorkCall         WorkKind = "call"           // calls that the server has made into user code
)

// IsStream reports whether work of the kind is an RPC that is a stream.
func (k WorkKind) IsStream() bool {
	return k == WorkClientStream || k == WorkServerStream || k == WorkBidiStream
}

// Work is the work of one kind and name: for a gRPC server that of one method. The
// numbers add up: once the shutdown has begun, Before + Arrived = Completed + Cancelled +
// Cut + Running. Before that there are Served and Running only, so at any time
// Served + Completed + Cancelled + Cut + Running have begun in all. Of calls
// (WorkCall) there is Running only. In a report Running is what had not come back when
// phase wait was over.
type Work struct {
	Server string // the name with which the server was registered; the controller fills it in
	Name   string // of a gRPC method "/package.Service/Method", of HTTP requests "GET /orders/{id}", of a call for example "net.Listener.Accept"
	Kind   WorkKind

	Running int       // how many run
	Oldest  time.Time // when the oldest of those began; zero if none runs
	Peer    string    // whom that one serves, if that is known
	Path    string    // what that one asks for, if the name does not say it: the path of an HTTP request

	Served    int // how many had ended when the shutdown began
	Before    int // how many ran when the shutdown began
	Arrived   int // how many have begun since
	Late      int // how many of those began after GracefulStop was called
	Completed int // how many have ended since in an orderly way: by themselves, or because they never do and the server drains
	Cancelled int // how many were given a status by Cancel and have ended
	Cut       int // how many ended after Stop, with no status from the server

	// Slowest are those of them that took longest after the trigger, the slowest first. What
	// is zero is none. A server that does not know leaves it so.
	Slowest [3]EndedWork
}

// EndedWork is one piece of work that has ended since the shutdown began.
type EndedWork struct {
	Began, Ended time.Time
	Fate         string // how it is counted: completed, cancelled or cut
}

// Lasted returns how long it ran after an instant.
func (e EndedWork) Lasted(after time.Time) time.Duration {
	if after.Before(e.Began) {
		after = e.Began
	}
	return e.Ended.Sub(after)
}
