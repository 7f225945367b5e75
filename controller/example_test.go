package controller_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall"

	"github.com/lastcall-go/lastcall/controller"
)

// exampleBudget settles for no time: in the examples no client has to learn that the
// server leaves.
var exampleBudget = lastcall.Budget{Total: 10 * time.Second, Reserve: 2 * time.Second}

// Dependencies are opened one after the other, and each is added before the next
// is opened. When one cannot be opened, those that are open are closed, the last
// one first.
func ExampleController_Add() {
	ctl, err := controller.New(exampleBudget, controller.WithSignals())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"postgres", "redis", "kafka"} {
		if name == "kafka" {
			ctl.Shutdown(errors.New("kafka: no broker"))
			break
		}
		err := ctl.Add(controller.WithCloser(name, func() error {
			fmt.Println("closed", name)
			return nil
		}))
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	report := ctl.Run(context.Background())
	fmt.Println(report.Outcome, "because of", report.CauseText)
	// Output:
	// closed redis
	// closed postgres
	// drained because of kafka: no broker
}

// A framework that serves already and owns the signals starts Run beside itself,
// and shuts down from its stop hook, which has a deadline of its own.
func ExampleController_Wait() {
	ctl, err := controller.New(exampleBudget,
		controller.WithSignals(), // none: they are the framework's
		controller.WithCloser("postgres", func() { fmt.Println("closed postgres") }))
	if err != nil {
		fmt.Println(err)
		return
	}
	go ctl.Run(context.Background())

	stopHook := func(ctx context.Context) error {
		ctl.Shutdown(errors.New("the framework stops"))
		report, err := ctl.Wait(ctx)
		if err != nil {
			return err
		}
		return report.Err()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Println(stopHook(ctx))
	// Output:
	// closed postgres
	// <nil>
}

// A worker claims until claim ends, and finishes what it has claimed for as long
// as work lasts.
func ExampleWithWorker() {
	jobs := make(chan int, 3)
	for n := range 3 {
		jobs <- n
	}
	started := make(chan struct{})
	consume := func(claim, work context.Context) error {
		for {
			select {
			case <-claim.Done():
				return claim.Err() // no new work; this is a clean end
			case n := <-jobs:
				if n == 2 {
					close(started)
				}
				if err := handle(work, n); err != nil {
					return err
				}
			}
		}
	}
	ctl, err := controller.New(exampleBudget, controller.WithSignals(), controller.WithWorker("consumer", consume))
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		<-started
		ctl.Shutdown(nil)
	}()
	fmt.Println("exit code", ctl.Run(context.Background()).ExitCode())
	// Output:
	// handled 0
	// handled 1
	// handled 2
	// exit code 0
}

func handle(work context.Context, n int) error {
	select {
	case <-work.Done():
		return context.Cause(work) // give the job back
	case <-time.After(time.Millisecond):
		fmt.Println("handled", n)
		return nil
	}
}

// A closer that may not take all of its share says so.
func ExampleTimeout() {
	ctl, err := controller.New(exampleBudget, controller.WithSignals(),
		controller.WithCloser("cache", func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}, controller.Timeout(10*time.Millisecond)))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctl.Shutdown(nil)
	report := ctl.Run(context.Background())
	fmt.Println(len(report.Failures()), "failure, exit code", report.ExitCode())
	// Output: 1 failure, exit code 6
}

// An admin server with probes and metrics answers while everything else shuts down:
// it stops when the flushers have run.
func ExampleController_Serving() {
	stopped := make(chan struct{})
	admin := stopper{name: "admin", stopped: stopped} // an admin.Server stops last by itself
	ctl, err := controller.New(exampleBudget, controller.WithSignals(),
		controller.WithServer("admin", lastcall.Last(admin)),
		controller.WithServer("orders", stopper{name: "orders", stopped: make(chan struct{})}),
		controller.WithCloser("postgres", func() { fmt.Println("closed postgres") }),
		controller.WithFlusher("traces", func() { fmt.Println("flushed traces") }))
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		<-ctl.Serving()
		ctl.Shutdown(nil)
	}()
	fmt.Println("exit code", ctl.Run(context.Background()).ExitCode())
	// Output:
	// stopped orders
	// closed postgres
	// flushed traces
	// stopped admin
	// exit code 0
}

// stopper is a server with nothing in flight.
type stopper struct {
	lastcall.Unimplemented
	name    string
	stopped chan struct{}
}

func (s stopper) Accepting() <-chan struct{} {
	accepting := make(chan struct{})
	close(accepting)
	return accepting
}

func (s stopper) Serve() error {
	<-s.stopped
	return nil
}

func (s stopper) GracefulStop() {
	fmt.Println("stopped", s.name)
	close(s.stopped)
}

func (s stopper) Stop() { fmt.Println("forced", s.name) }

// Two pools that do not use each other are closed at the same time, after what uses
// them and before what they use.
func ExampleTogether() {
	postgres, redis := make(chan struct{}), make(chan struct{})
	ctl, err := controller.New(exampleBudget, controller.WithSignals(),
		controller.WithCloser("tunnel", func() { fmt.Println("closed the tunnel") }),
		controller.Together(
			controller.WithCloser("postgres", func() { close(postgres); <-redis }),
			controller.WithCloser("redis", func() { close(redis); <-postgres }),
		),
		controller.WithCloser("cache", func() { fmt.Println("closed the cache") }))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctl.Shutdown(nil)
	report := ctl.Run(context.Background())
	fmt.Println(len(report.Failures()), "failures")
	// Output:
	// closed the cache
	// closed the tunnel
	// 0 failures
}

// A process that is there for one piece of work ends with it.
func ExampleEndsProcess() {
	migrate := func(_, _ context.Context) error {
		fmt.Println("migrated")
		return nil
	}
	ctl, err := controller.New(exampleBudget, controller.WithSignals(),
		controller.WithWorker("migration", migrate, controller.EndsProcess()),
		controller.WithCloser("postgres", func() { fmt.Println("closed postgres") }))
	if err != nil {
		fmt.Println(err)
		return
	}
	report := ctl.Run(context.Background())
	fmt.Println(report.CauseText)
	fmt.Println("exit code", report.ExitCode())
	// Output:
	// migrated
	// closed postgres
	// worker "migration" ended by itself
	// exit code 0
}

// A program that cannot start says why, and Run closes what is open already.
func ExampleController_Fail() {
	ctl, err := controller.New(exampleBudget, controller.WithSignals())
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := ctl.Add(controller.WithCloser("postgres", func() { fmt.Println("closed postgres") })); err != nil {
		fmt.Println(err)
		return
	}
	ctl.Fail(errors.New("kafka: no broker"))
	report := ctl.Run(context.Background())
	fmt.Println(report.Outcome, "because of", report.CauseText)
	fmt.Println("exit code", report.ExitCode())
	// Output:
	// closed postgres
	// drained because of kafka: no broker
	// exit code 3
}

// A signal that comes while a broker is waited for ends the start: what is open is
// closed, and the exit code says that nothing has failed.
func ExampleController_Starting() {
	signals := make(chan os.Signal, 1) // in a real program without this: SIGTERM and SIGINT
	ctl, err := controller.New(exampleBudget, controller.WithSignalChannel(signals))
	if err != nil {
		fmt.Println(err)
		return
	}
	open := func(ctx context.Context) error {
		if err := ctl.Add(controller.WithCloser("postgres", func() { fmt.Println("closed postgres") })); err != nil {
			return err
		}
		signals <- syscall.SIGTERM
		<-ctx.Done() // stands for a dial that takes a context
		return context.Cause(ctx)
	}
	if err := open(ctl.Starting(context.Background())); err != nil {
		ctl.Fail(err)
	}
	report := ctl.Run(context.Background())
	fmt.Println(report.Outcome, "because of", report.CauseText)
	fmt.Println("exit code", report.ExitCode())
	// Output:
	// closed postgres
	// drained because of signal: terminated
	// exit code 0
}
