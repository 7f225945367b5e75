package controller

import (
	"os"
	"os/signal"
	"time"
)

// keepPipes has writes to a standard output or error that has no reader left fail,
// from now on. Without it package os ends the process at the first one (SIGPIPE), and
// what has to be closed stays open. It lasts until the process ends: what is written
// after Run must not change the exit code.
func keepPipes() {
	if brokenPipe == 0 || inBubble() {
		return
	}
	process.Lock()
	defer process.Unlock()
	process.kept = true
	hearPipesLocked()
}

// hearPipes does so for a moment only, and before the trigger. Ctrl-C on `srv | tee` ends tee
// as well, and the server may write between that and the instant in which it hears its own
// signal. Who reads the channel calls pipeBroke. It is nil where such writes never end the
// process.
func hearPipes() <-chan os.Signal {
	if brokenPipe == 0 || inBubble() || signal.Ignored(brokenPipe) { // what was ignored would not be afterwards
		return nil
	}
	process.Lock()
	defer process.Unlock()
	return hearPipesLocked()
}

func hearPipesLocked() <-chan os.Signal {
	if process.pipes == nil {
		process.pipes = make(chan os.Signal, 1) // what does not fit is dropped
		signal.Notify(process.pipes, brokenPipe)
	}
	return process.pipes
}

// pipeBroke is called when such a write has failed before the trigger, or one to a socket or
// another pipe, which ends no process. If no trigger comes while it could be the same request,
// package os ends the process with the next write, unless SIGPIPE is ignored. To end it here
// would be wrong: a client that left may have been the cause.
func pipeBroke() {
	time.AfterFunc(sameRequest, func() {
		if !isOutputBroken() {
			return // the next one may be the first
		}
		process.Lock()
		defer process.Unlock()
		if !process.kept && process.pipes != nil {
			signal.Stop(process.pipes)
			process.pipes = nil
		}
	})
}
