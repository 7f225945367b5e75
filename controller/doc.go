// Package controller shuts a server down: in order, by a deadline, and with a
// report of how it went.
//
// A [Controller] is given a [Budget] and everything that has to stop: servers,
// workers, dependencies to close, exporters to flush. [Controller.Run] serves
// until the first trigger (a signal, the end of its context, Shutdown, a server
// or worker that fails) and then walks the states of package transitions. Each
// state is divided into phases:
//
//	SERVING            start, serve, announce, settle
//	GRACEFUL_SHUTDOWN  drain
//	TIMER_EXPIRED      cancel, stop, cut, wait
//	TERMINATED         close, flush
//
// The trigger is the instant of the first request to shut down. Run returns by
// the deadline, which is trigger + Total. The machine's timer fires at
// trigger + Total - Reserve. The second signal moves the timer to now, and the
// deadline to at most now + Reserve. After the timer the time that remains is
// shared: with k phases left a phase may use a k-th of it, and n steps one
// after the other inside a phase share the phase's part in the same way. What
// is not used goes to those behind.
//
// # Guarantees
//
// Foreign code is everything that the controller calls and that is not its own:
// servers, announcers, workers, closers, flushers, observers, the log writer,
// and the Error and String methods of the values that these hand over. It runs
// on goroutines of its own, so it may hang, panic, call runtime.Goexit, ignore
// its context, be slow, or call back into the controller.
//
// In what follows a server is one that is not Last. Those that are end after the
// flushers: see [Last].
//
// G1 Bounded: Run returns at or before the deadline, whatever foreign code
// does; in real time as exactly as the machine's timers fire. What ends the process
// is beyond any library: os.Exit, a panic in a goroutine that lastcall did not
// start, a fatal error of the Go runtime. The context that Run is given must keep
// the contract of package context.
//
// G2 Ordered: a phase starts only if every phase before it, in the order above,
// is over or was skipped. A closer starts only if every server has ended and
// every worker has returned, or phase wait is over. Flushers start last.
//
// G3 No needless loss: a server has ended if and only if its GracefulStop and
// its Serve have returned; a worker, if and only if it has returned. If all
// have ended before the timer, nothing is cancelled, stopped or cut.
//
// G4 No needless wait: a phase ends in the instant in which the last thing that
// it waits for ends, or its time does. Nothing is polled.
//
// G5 Force: Stop is called on a server if and only if its GracefulStop had not
// returned when the timer fired (one that panicked has not), and then once. The
// call begins only after the goroutine that calls GracefulStop on that server has
// come to the call. If the last end and the timer fall into the same instant, either path is legal.
//
// G6 Once: the first trigger wins, and its cause is kept. Every later one is
// harmless, and everybody who waits gets the same report.
//
// G7 Legal: the states are taken only along the rows of package transitions.
// State, Phase and Ready never go backwards and never block.
//
// G8 Isolated: a step that fails, panics or hangs neither stops nor starves
// another one. A failure is in the report, with the name of its step.
//
// G9 Told: every transition and every change of phase reaches every observer, in
// order, unless that observer is still busy when Run returns. A slow observer
// delays nobody; what it missed is counted in the report. At its end Run waits at
// most 10 ms, and not past the deadline, for observers that have been quick so far.
//
// G10 Nothing left: when Run has returned, no goroutine of the library is alive
// except those that wait for foreign code which has not returned; the report
// names each of them.
//
// G11 Said last: the final log line has been handed to the writer before the
// first flusher starts, unless the writer takes no line for a second or the log's
// share of the time is over. Failures of flushers are in the report only.
package controller
