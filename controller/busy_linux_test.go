package controller_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/controller"
)

// G8: closers that do nothing are never late, however busy the machine is. The test runs
// itself as a process with one processor and busy goroutines.
func TestG8_EmptyClosersOnABusyMachine(t *testing.T) {
	t.Parallel()
	for range 3 { // it took two to see equal shares call some of them late
		p := startChild(t, "busy", nil)
		status, said := p.end()
		if status.ExitStatus() != report.ExitOK || !strings.Contains(said, "10000 closers ended, 0 late") {
			t.Errorf("it ended with status %d, having said\n%.2000s", status.ExitStatus(), said)
		}
	}
}

// G11: servers that answer at once are in the report, however busy the machine is.
func TestG11_WorkOnABusyMachine(t *testing.T) {
	t.Parallel()
	p := startChild(t, "busy servers", nil)
	status, said := p.end()
	if status.ExitStatus() != report.ExitOK || !strings.Contains(said, "work of 20 servers") {
		t.Errorf("it ended with status %d, having said\n%.2000s", status.ExitStatus(), said)
	}
}

// busyServersChild shuts down 20 servers beside eight goroutines that want the processor.
func busyServersChild() int {
	defer busy()()
	opts := []controller.Option{noSignals}
	for i := range 20 {
		opts = append(opts, withServer(strconv.Itoa(i), &telling{server: newServer(newDiary(), "s", 0), inFlight: func(int) []lastcall.Work {
			return []lastcall.Work{{Name: "n", Kind: lastcall.WorkTask, Completed: 1}}
		}}))
	}
	c, err := controller.New(lastcall.Budget{Total: time.Minute, Reserve: 20 * time.Second}, opts...)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	c.Shutdown(nil)
	r := c.Run(context.Background())
	fmt.Println("work of", len(r.Work), "servers, after", r.Took(), r)
	return r.ExitCode()
}

// busy has eight goroutines take the only processor, until the function that it returns is
// called.
func busy() (stop func()) {
	runtime.GOMAXPROCS(1)
	var stopped atomic.Bool
	for range 8 {
		go func() {
			for !stopped.Load() { //nolint:revive // busy on purpose
			}
		}()
	}
	return func() { stopped.Store(true) }
}

// busyChild closes 10,000 closers beside eight goroutines that want the processor.
func busyChild() int {
	defer busy()()
	var ended atomic.Int32
	opts := []controller.Option{noSignals}
	for i := range 10_000 {
		opts = append(opts, controller.WithCloser(strconv.Itoa(i), func() { ended.Add(1) }))
	}
	c, err := controller.New(lastcall.DefaultBudget(), opts...)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	c.Shutdown(nil)
	r := c.Run(context.Background())
	fmt.Println(ended.Load(), "closers ended,", len(r.Failures()), "late, after", r.Took())
	return r.ExitCode()
}
