package controller_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lastcall-go/lastcall/controller"
)

// exampleBudget settles for no time: in the examples nobody has to learn that the
// server leaves.
var exampleBudget = controller.Budget{Total: 10 * time.Second, Reserve: 2 * time.Second}

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
