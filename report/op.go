package report

// Op names the user code that a call goes to.
type Op string

// The calls that the controller makes.
const (
	OpAttach       Op = "Attach"       // a server's Attach
	OpServe        Op = "Serve"        // a server's Serve
	OpWork         Op = "worker"       // a worker's function
	OpAnnounce     Op = "Announce"     // a server's Announce
	OpAnnouncer    Op = "announcer"    // an announcer
	OpGracefulStop Op = "GracefulStop" // a server's GracefulStop
	OpCancel       Op = "Cancel"       // a server's Cancel
	OpStop         Op = "Stop"         // a server's Stop
	OpCut          Op = "Cut"          // a server's Cut
	OpClose        Op = "closer"       // a closer
	OpFlush        Op = "flusher"      // a flusher
	OpObserve      Op = "observer"     // an observer
	OpLog          Op = "logger"       // the logger, with its hooks and writers
	OpStderr       Op = "stderr"       // the line on stderr that tells the reason of an exit code
	OpParent       Op = "process"      // reading what process 1 is; a Step only if it fails or takes too long
	OpText         Op = "Error method" // the cause's Error method
	OpInFlight     Op = "InFlight"     // a server's InFlight; a Step only if it fails or takes too long
	OpNotes        Op = "Notes"        // a server's Notes; the same
	OpIdlePeers    Op = "IdlePeers"    // a server's IdlePeers; the same
	OpLastArrival  Op = "LastArrival"  // a server's LastArrival; the same
)
