package report_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// ExampleNewLines records a shutdown line by line, and makes a report of the lines.
func ExampleNewLines() {
	var file bytes.Buffer // an *os.File, in a process that may be killed
	lines := report.NewLines(&file, 0)
	ctl, err := controller.New(lastcall.DefaultBudget(),
		controller.WithObserver("lines", lines.Observe),
		controller.WithCloser("db", func() {}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctl.Shutdown(nil)
	ctl.Run(context.Background())
	r, err := report.ReadLines(&file)
	fmt.Println(r.Outcome, len(r.Path), "states", err, lines.Err())
	// Output: drained 3 states <nil> <nil>
}
