package controller

import "time"

// Inspector is a Server that knows its work in flight. InFlight is called when the
// drain begins, when the timer fires, and when phase close begins, each time on a
// goroutine of its own, for which nothing waits but the last log line and the end of
// Run, at most 10 ms. The first two calls are logged; the report has what the last
// one returned, or nothing if that came too late. A call may begin while one before
// it still runs. A Server that is [Last] is asked once, when it has ended.
type Inspector interface{ InFlight() []Work }

// Noter is a Server that can tell what an operator should know of its end and what
// is no failure. Notes is called once, in the way in which InFlight is called last.
// Each note is one short sentence.
type Noter interface{ Notes() []string }

// Arrivals is a Server that knows when new work last came. Probes and the like do
// not count. A Server that had no work yet returns when it was made. The zero time
// says that the Server cannot tell, which is an error from New and Add if
// [Budget.Quiet] is set; [WithServer] asks for that, so LastArrival must return at
// once. In phase settle it is called on a goroutine of its own; if it fails then,
// or does not return, the phase lasts as long as it would without Quiet.
type Arrivals interface{ LastArrival() time.Time }

// WorkKind says what sort of work it is.
type WorkKind string

// The kinds of work.
const (
	WorkUnary   WorkKind = "unary"          // RPCs with one request and one answer
	WorkStream  WorkKind = "stream"         // RPCs that are streams
	WorkRequest WorkKind = "request"        // HTTP requests
	WorkConn    WorkKind = "connection"     // connections of other protocols, or that an HTTP handler has taken over
	WorkTask    WorkKind = "task"           // pieces of work in the background
	WorkInfra   WorkKind = "infrastructure" // health, reflection and the like: not what the service is for
	WorkCall    WorkKind = "call"           // calls that the server has made into foreign code
)

// Work is the work of one kind and name: for a gRPC server that of one method. The
// numbers add up: Before + Arrived = Completed + Cancelled + Cut + Running; of
// calls (WorkCall) there is Running only. In a report Running is what had not come
// back when phase wait was over.
type Work struct {
	Server string // the name with which the server was registered; the controller fills it in
	Name   string // of a gRPC method "/package.Service/Method", of HTTP requests "GET /orders/{id}", of a call for example "net.Listener.Accept"
	Kind   WorkKind

	Running int       // how many run
	Oldest  time.Time // when the oldest of those began; zero if none runs
	Peer    string    // whom that one serves, if anybody knows

	Before    int // how many ran when the shutdown began
	Arrived   int // how many have begun since
	Late      int // how many of those began after GracefulStop was called
	Completed int // how many have ended since in an orderly way: by themselves, or because they never do and the server drains
	Cancelled int // how many were given a status by Cancel and have ended
	Cut       int // how many ended after Stop, with no status from us
}
