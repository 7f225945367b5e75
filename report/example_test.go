package report_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// ExampleNewRecorder records a shutdown line by line, and makes a report of the lines.
func ExampleNewRecorder() {
	var file bytes.Buffer // an *os.File, in a process that may be killed
	record := report.NewRecorder(&file, 0)
	ctl, err := controller.New(lastcall.DefaultBudget(),
		controller.WithObserver("record", record.Observe),
		controller.WithCloser("db", func() {}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctl.Shutdown(nil)
	ctl.Run(context.Background())
	r, err := report.ReadRecord(&file)
	fmt.Println(r.Outcome, len(r.Path), "states", err, record.Err())
	// Output: drained 3 states <nil> <nil>
}
