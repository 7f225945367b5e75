// Package shutdowntest tests how your service shuts down. You say how the service is built
// and what a call is; the package shuts it down in random ways, under random load, and
// checks what its users were promised:
//
//	func TestShutdown(t *testing.T) {
//		shutdowntest.Check(t, func(e *shutdowntest.Env) *controller.Controller {
//			return newService(e.Listen("grpc"), e.Listen("http")) // as main does
//		},
//			shutdowntest.GRPC("grpc", func(ctx context.Context, cc *grpc.ClientConn) error {
//				_, err := pb.NewOrdersClient(cc).Get(ctx, &pb.GetRequest{Id: 1})
//				return err
//			}),
//			shutdowntest.Probe("http", "/readyz"),
//		)
//	}
//
// [Check] is for a service with a controller, [CheckServer] for one without: it shows what
// the present pattern of a service does before anything is adopted.
//
// # What varies
//
// The trigger is a signal, Shutdown, Fail, Force, the end of Run's context or a worker that
// fails; it comes when the service is ready, or before. Then signals come again, at once or
// later, or Force, Shorten or a second Shutdown. Calls begin before, in and after settle and
// drain, from clients that are normal, slow, deaf from the trigger on, or gone in the
// middle. Peers connect and say nothing, or half of something. grpc.health.v1 is watched,
// if the service has it. The budget is drawn, if the service takes [Env.Budget].
//
// # What is checked
//
//	bounded   Run has returned by the deadline
//	ready     not ready before every server accepts; probes are down after announce, or,
//	          if the policy says so, when the drain begins
//	not lost  a call that began before the drain and could end before the timer has succeeded;
//	          if such calls take different times: it has not failed before the timer, or
//	          waited for much longer than they take. Nothing was done twice
//	honest    an interrupted call got a status that clients retry; none succeeded without
//	          its whole answer
//	drained   a stream that does not end by itself ends when the drain begins
//	ordered   nothing was closed under a handler or worker that used it
//	quiet     no work was claimed after announce
//	empty     no goroutine, listener, connection, file, socket or dependency was left, and no
//	          closer, worker or server failed
//	told      telemetry was flushed, after everything that it tells of, and in time
//
// The rules are judged by what the package has seen itself: its connections and calls, and
// the wrappers [Env.Watch], [Env.Claim], [Env.Once] and [Env.Flush]. Before the random shutdowns two calls of each load are made in
// calm: they tell how long a call takes, what it answers, and whether it ends by itself.
// Before the first failure there are a hundred, and some at once.
// [Without] leaves a rule out.
//
// # In which time
//
// Each check runs in a bubble of testing/synctest, on listeners in memory: its time is
// virtual, so that a thousand shutdowns of half a minute take a few seconds, and "by the
// deadline" has no tolerance. A service that waits for something outside, such as a socket,
// cannot run there; see [RealTime]. The flags of rapid apply: -rapid.checks=10000 for more,
// and -rapid.seed or -rapid.failfile to repeat what has failed.
//
// # For other tests
//
// [Reached] waits for a phase, [TestContract] is for the authors of adapters, and package
// faults has listeners, connections, peers and functions that misbehave.
package shutdowntest
