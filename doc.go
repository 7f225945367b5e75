// Package lastcall is the front page of a library that shuts a Go server down as
// an explicit state machine with a hard deadline. It has no code of its own.
//
// A service embeds a controller. From the first SIGTERM to the end of main every
// step is a state, a transition or a named phase, with a time and a place in the
// report; and Run returns by the deadline, whatever servers, handlers, hooks and
// dependencies do:
//
//	g := grpcadapter.New(lis)
//	srv := g.NewServer()
//	pb.RegisterOrdersServer(srv, orders)
//
//	ctl, err := controller.New(controller.DefaultBudget(),
//		controller.WithServer("grpc", g),
//		controller.WithCloser("postgres", db.Close),
//		controller.WithFlusher("traces", tp.Shutdown),
//		controller.WithLogger(log),
//	)
//	if err != nil {
//		return err
//	}
//	os.Exit(ctl.Run(context.Background()).ExitCode())
//
// A user needs two packages:
//
//   - controller: the phases of a shutdown, its time, its order, its report, and
//     the numbered guarantees that it keeps.
//   - grpcadapter: makes a gRPC server what the controller wants.
//
// Those below and beside them:
//
//   - fsm: states, events, the table of transitions and the machine that walks it.
//   - transitions: the rows of that table, one per line, each with its reason.
//   - viz: draws the table and the course of a shutdown as mermaid diagrams.
//   - cmd/lastcall: the command; "go run ./cmd/lastcall demo" shows a shutdown of
//     a real gRPC server under load.
//
// The module in examples/ has whole programs. The folder docs/ says how the parts
// fit together (architecture.md), what each state means (states.md) and what is
// guaranteed (guarantees.md).
package lastcall
