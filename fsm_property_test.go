// Package lastcall_test checks, in virtual time, that no path of a shutdown ever
// blocks past the deadline, and the other guarantees of package controller with
// it. Run more of it with
//
//	go test . -run Property -rapid.checks=100000 -timeout 0
package lastcall_test

import (
	"context"
	"flag"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall/report"

	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/internal/proptest"
	"github.com/lastcall-go/lastcall/report/draw"
)

// checks is how many shutdowns each property tries unless a flag or RAPID_CHECKS
// says otherwise.
const checks = "2000"

func TestMain(m *testing.M) {
	flag.Parse()
	given := os.Getenv("RAPID_CHECKS") != ""
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", checks); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// invariant is a part of a guarantee of docs/guarantees.md.
type invariant struct {
	guarantee string
	holds     func(*proptest.Run) error
}

// everywhere are the invariants that hold in every world.
func everywhere() []invariant {
	return []invariant{
		{"G1: Run returns by the deadline", proptest.Bounded},
		{"G1: the timer and the deadline are those of the budget", proptest.Known},
		{"G2: all is started before the process is ready, and nothing after the trigger", proptest.StartedFirst},
		{"G2: announce, then drain", proptest.AnnouncedFirst},
		{"G2: cancel, then stop, then cut", proptest.ForcedInOrder},
		{"G2: nothing is closed under work that was not given up", proptest.NothingClosedUnderWork},
		{"G2: closers in order, flushers, servers that stop last", proptest.ClosedInOrder},
		{"G3: nothing is ended before the timer", proptest.NothingBeforeTheTimer},
		{"G3: what ends before the timer ends in peace", proptest.DrainedInPeace},
		{"G3: the outcome tells what ended the rest", proptest.OutcomeIsTrue},
		{"G3: only idle peers, if all say so", proptest.IdleIsTrue},
		{"G3: servers that stop last have no part in the drain", proptest.LeavesLast},
		{"G4: what has to begin begins at once", proptest.AtOnce},
		{"G4: the shutdown always waits for something", proptest.NeverIdle},
		{"G4: settle ends when it should", proptest.Settles},
		{"G5: Stop on those that have not stopped, once", proptest.StoppedOnce},
		{"G6: one report, of the first trigger", proptest.OneReport},
		{"G6: the first cause", proptest.FirstCause},
		{"G7: the path is legal", proptest.Legal},
		{"G7: readers see no way back, and do not block", proptest.Monotone},
		{"G8: each step is called, once", proptest.CalledOnce},
		{"G8: what hangs is told to end", proptest.ToldToEnd},
		{"G8: no closer is starved", proptest.NotStarved},
		{"G8: each result is true", proptest.ResultsAreTrue},
		{"G8: each answer is true", proptest.AnswersAreTrue},
		{"G8: the exit code is true", proptest.ExitCodeIsTrue},
		{"G9: observers are told", proptest.Told},
		{"G10: nothing is left but what is named", proptest.NothingLeft},
		{"G10: what is named is left", proptest.NamesAreTrue},
		{"G11: said last", proptest.SaidLast},
		{"G12: ready is true", proptest.ReadyIsTrue},
		{"G13: told before the flush", proptest.ToldInTime},
		{"G13: the cause first", proptest.CauseFirst},
		{"the world has seen nothing wrong", proptest.Unblamed},
		{"a report and its drawings tell the same", proptest.DrawnTruly},
		{"what an observer recorded tells the same", proptest.RecordedTruly},
	}
}

// withClients are the invariants that hold for real servers as well.
func withClients() []invariant {
	return append(everywhere(), []invariant{
		{"G2: no new work is taken once the server drains", proptest.NotAdmitted},
		{"G2: who is refused can go elsewhere", proptest.RefusedWell},
		{"G2: the admin server serves to the end", proptest.AdminServes},
		{"G3: what comes before the drain is served", proptest.Admitted},
		{"G3: what ends before the timer is answered", proptest.AnsweredWhole},
		{"G3: connections are kept until the drain", proptest.ConnectionsKept},
		{"G3, G4: GracefulStop returns when all work has ended", proptest.DrainedWhole},
		{"G3: tasks are begun until their group is told to stop", proptest.TasksKept},
		{"G4, G5, G10: connections are closed", proptest.ConnectionsClosed},
		{"G5: what is at work at the timer is told", proptest.ToldAtTheTimer},
		{"G5: clients of interrupted work are told", proptest.InterruptedWell},
		{"G5: streams that never end are told", proptest.WatchersTold},
		{"G8: the numbers add up", proptest.WorkAddsUp},
	}...)
}

// TestPropertyAdversaries: servers, workers, hooks, observers and loggers that
// behave in every way that user code can, on their own and together.
func TestPropertyAdversaries(t *testing.T) {
	rapid.Check(t, property(proptest.DrawAdversaries, everywhere()))
}

// TestPropertyGRPC: a real gRPC server with real clients: RPCs of every length and
// temper, begun at any time, silent peers, and peers that never leave.
func TestPropertyGRPC(t *testing.T) {
	rapid.Check(t, property(proptest.DrawGRPC, withClients()))
}

// TestPropertyMixes: whole processes, of any mixture of real gRPC and HTTP servers, a
// server of a protocol of its own, tasks in the background, workers, closers, flushers
// and an admin server that stops last, with real clients.
func TestPropertyMixes(t *testing.T) {
	rapid.Check(t, property(proptest.DrawMix, withClients()))
}

// property draws a plan, runs it in a bubble, and checks the invariants before anything
// that hangs is let go.
func property(drawPlan func(*rapid.T) proptest.Plan, invariants []invariant) func(*rapid.T) {
	return func(t *rapid.T) {
		plan := drawPlan(t)
		rapid.SyncTest(t, func(t *rapid.T) {
			world := plan.World()
			seen := run(t, world)
			t.Logf("%v%v", plan, seen)
			for _, one := range invariants {
				if err := one.holds(seen); err != nil {
					t.Errorf("%s: %v", one.guarantee, err)
				}
			}
			if t.Failed() {
				picture, err := draw.Sequence(seen.Report)
				t.Logf("the shutdown as its report has it (error %v), for any page that draws mermaid:\n%s", err, picture)
			}
			world.End()
			synctest.Wait()
			if above, below := proptest.Goroutines(); len(above)+len(below) > 0 {
				t.Errorf("G10: nothing hangs any more, and still alive are %v %v", above, below)
			}
		})
	}
}

// run shuts a world down. One goroutine reads the controller's state all the time, and two
// wait for the end.
func run(t *rapid.T, world proptest.World) *proptest.Run {
	seen := &proptest.Run{Setup: world.Setup(), World: world}
	ctl, err := controller.New(seen.Setup.Budget, append(seen.Setup.Options(world.Log()), controller.WithSignalChannel(world.Signals()))...)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	waiting := make(chan report.Report)
	for range 2 {
		go func() {
			r, err := ctl.Wait(context.Background())
			if err != nil {
				panic(err)
			}
			waiting <- r
		}()
	}
	ctx := world.Begin(ctl)
	go seen.Sample(ctl)
	hangs := time.AfterFunc(longest, func() {
		t.Errorf("G1: Run has not returned after %v", longest)
		world.End()
	})
	seen.Begun = time.Now()
	seen.Report = ctl.Run(ctx)
	seen.Ended = time.Now()
	seen.Timer, _ = ctl.TimerAt()
	hangs.Stop()
	seen.Waited = append(seen.Waited, <-waiting, <-waiting)
	synctest.Wait()
	seen.Above, seen.Below = proptest.Goroutines()
	seen.Freeze()
	return seen
}

// longest is longer than any shutdown that is drawn.
const longest = time.Minute
