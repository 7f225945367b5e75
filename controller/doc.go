// Package controller shuts a server down: in order, by a deadline, and with a
// report of how it went.
//
// A [Controller] is given a [lastcall.Budget] and everything that has to stop: servers,
// workers, dependencies to close, exporters to flush. [Controller.Run] serves until the
// first trigger (a signal, the end of its context, Shutdown, Fail, Force, a server or
// worker that ends by itself), walks the states of package transitions, and returns a
// [report.Report].
//
// # The timeline
//
// Each state is divided into phases. With [lastcall.DefaultBudget], and work that does
// not end by itself, they begin at
//
//	                     SERVING
//	                     start     servers and workers start
//	                     serve     every server accepts work: Ready
//	T0         trigger   announce  readiness goes down, workers stop claiming
//	                     settle    the server still serves, while the network learns
//	                     GRACEFUL_SHUTDOWN
//	T0 + 5 s             drain     GracefulStop: new work is refused, work in flight finishes
//	                     TIMER_EXPIRED
//	T0 + 23 s  timer     cancel    what still runs gets its status
//	                     stop      Stop on every server that is not down
//	                     cut       connections that survived that are closed
//	                     wait      handlers and workers return
//	                     TERMINATED
//	                     close     dependencies, the last registered first
//	                     flush     logs, traces, metrics; then servers that stop last
//	T0 + 28 s  deadline  Run has returned
//
// If all work ends before the timer, close follows drain at once.
//
// T0 is the instant of the first request to shut down. The deadline is T0 + Total, and the
// timer fires at T0 + Total - Reserve. A force moves the timer to now, and the deadline to
// now + Reserve if that is earlier; Shorten brings both forward. After the timer the
// remaining time is shared: with k phases left a phase may use a k-th of it. Phase close
// may use what the flush does not need. Each closer has a minimum that the closers before
// it cannot use up; the closers that need more share the rest. What a phase does not use
// goes to the phases after it.
//
// # Reading the source
//
// From Run to os.Exit: controller.go has Run and most methods that a user calls, run.go the
// phases in order. serving.go has the phases up to the drain, drain.go the drain and the phases
// that follow the timer, finish.go the phases with which every shutdown ends. The loop blocks
// only in await.go; time.go has every instant that it waits for. call.go runs user code;
// member.go calls GracefulStop and Stop; record.go tells observers, and log.go is one of them.
// docs/architecture.md lists all files.
//
// # Guarantees
//
// User code is everything that the controller calls and that is not its own:
// servers, announcers, workers, closers, flushers, observers, the log writer,
// and the Error and String methods of the values that these return. It runs
// on goroutines of its own, so it may hang, panic, call runtime.Goexit, ignore
// its context, be slow, or call back into the controller.
//
// In G2 to G5 a server is one that does not stop last. A server that does (see
// [lastcall.FullServer]) ends after the flushers.
//
// G1 Bounded: Run returns at or before the deadline, whatever user code does; in real
// time as exactly as the machine's timers fire. The deadline is trigger + Total; a
// force and Shorten bring it forward, and nothing moves it back but this: if the process
// is suspended (SIGSTOP, a frozen virtual machine) until its deadline or nearly so, Run
// returns at most a second after it is resumed. With a deadline that has passed already
// Run returns at once. No library can keep the process from ending sooner by os.Exit, a
// panic in a goroutine that lastcall did not start, a fatal error of the Go runtime, or a
// signal that is not among those that trigger, such as SIGKILL and SIGHUP. The context
// that Run is given must keep the contract of package context.
//
// G2 Ordered: a phase starts only if every phase before it, in the order above,
// is over or was skipped. A closer starts only if every server has ended and
// every worker has returned, or phase wait is over. Flushers start last. Before the
// timer a server or worker that is registered After others is told to end only if all
// of those have ended.
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
// come to the call. An end in the instant of the timer comes after it; whether Stop is
// called then is open. Servers that stand After others are cancelled first; each of the
// others when the Cancels of those have returned, at most 100 ms later for each level.
//
// G6 Once: the first trigger wins, and its cause is kept. Every later one is harmless:
// only a force and Shorten change anything, and they only bring timer and deadline
// forward. A signal soon after the trigger is the same request. Every caller of Run and
// Wait gets the same report.
//
// G7 Legal: the states are taken only along the rows of package transitions.
// State, Phase and Ready never go backwards and never block.
//
// G8 Isolated: a step that fails, panics or hangs neither stops nor starves
// another one. A failure is in the report, with the name of its step.
//
// G9 Told: every step reaches every observer once and in order, unless that observer is
// still busy when Run returns. After the trigger the first step is the cause; if its
// text takes longer than 100 ms, the cause is told without it. A slow observer delays no
// other one; what it missed is counted in the report, and so are log lines that the
// writer refused. At its end Run waits for an observer that has never needed longer than
// 100 ms for a step until it has had the present one for 100 ms, and for a log until it
// has had it for a second; at most a second in all, and not past the deadline.
//
// G10 Nothing left: when Run has returned, no goroutine of the library is alive
// except those that wait for user code which has not returned; the report
// names each of them. Where the process lives on, package httpadapter reads on for
// up to 5 s from TCP peers that may still be sending: to close their connections
// would reset them, and they could lose their answers.
//
// G11 Said last: the final log line has been handed to the writer before the
// first flusher starts, with the exceptions of G13. Failures of flushers are in the
// report; if they change the exit code, they are also in a line on stderr.
//
// G12 Ready: Ready returns true only if every server accepts work, those that stop
// last included, and no trigger has come. The channel of Serving is closed when Ready
// first becomes true, and stays open if it never does.
//
// G13 Told in time: when the first flusher starts, and when the first server that
// stops last is told to end, every observer has been told everything up to the
// summary. The exceptions are an observer that has been busy with a single step for a
// second, and all observers once their share of the time is over.
//
// G14 Seen: from the beginning of the drain until Run returns, a step of kind progress is
// told whenever what the shutdown waits for has changed, at most once in the time of
// WithProgress, and once right before the timer, unless a force moved the timer. No phase
// waits for it, or for an answer to it.
//
// G15 Named: a call that timed out, work that had not ended 10 ms after phase wait began, and
// an observer that is busy are in the report with the lines of code where their goroutines
// stand, if these were found in time; nothing waits for that more than 10 ms, and Stop not
// at all. A look that has not ended when Run returns ends by itself.
package controller
