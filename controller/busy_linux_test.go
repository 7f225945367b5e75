package controller_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

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

// busyChild closes 10,000 closers beside eight goroutines that want the processor.
func busyChild() int {
	runtime.GOMAXPROCS(1)
	var stop atomic.Bool
	defer stop.Store(true)
	for range 8 {
		go func() {
			for !stop.Load() { //nolint:revive // busy on purpose
			}
		}()
	}
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
