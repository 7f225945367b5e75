// Package lastcall is the contract between a shutdown and everything that takes part
// in it: servers, the handlers that run in them, workers and dependencies.
//
// It imports the standard library alone, so a handler or a library can depend on it
// without depending on the engine. Package controller is the engine; it walks the
// phases of a shutdown and calls what this package describes.
//
// # For handlers and workers
//
// [Draining] is closed when the drain begins: a stream that does not end by itself should
// then say goodbye. [TimerAt] tells until when the work may run. [ErrTimer] is the cause
// with which its context ends then.
//
// # For adapters
//
// A [Server] can be stopped. A [FullServer] takes part in every phase; embed
// [Unimplemented] for the phases that do not concern it. [Work] is how a server
// tells what it has in flight, [Life] what it may tell its handlers.
//
// # For both
//
// A [Budget] is the time that a shutdown may take, a [Phase] what it is doing.
//
// The house around this package:
//
//   - controller: the engine: New, Add, Run, and the numbered guarantees.
//   - report: what happened, as values, as text, as JSON and as an exit code.
//   - grpcadapter, httpadapter, drain: servers of gRPC, of net/http, and accept
//     loops and background work of your own.
//   - admin, systemd, kubernetes: what the world around the process wants to know.
//   - slogadapter: the log, through a log/slog logger.
//   - fsm, transitions, viz: the machine, its table, and the pictures of both.
//   - cmd/lastcall: "go run ./cmd/lastcall demo" shows a shutdown under load.
package lastcall
