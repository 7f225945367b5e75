package report_test

import (
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// Err names the work that was lost, by server: without a log its line is all that an operator
// has. It names the handler of which most still runs or, if none does, was
// interrupted.
func TestErrNamesWhatWasLost(t *testing.T) {
	const head = "shutdown: cut in 3.501s of 10s (asked for)"
	stacks := []report.Stack{{Of: "/orders.Orders/Get", Count: 2, Func: "main.get", File: "get.go", Line: 7}}
	for name, tt := range map[string]struct {
		work []lastcall.Work
		want string
	}{
		"nothing": {[]lastcall.Work{{Server: "grpc", Name: "/orders.Orders/Get", Kind: lastcall.WorkUnary, Completed: 3}}, head},
		"each way": {[]lastcall.Work{
			{Server: "grpc", Name: "/orders.Orders/Get", Kind: lastcall.WorkUnary, Completed: 3, Cancelled: 2},
			{Server: "grpc", Name: "/orders.Orders/Watch", Kind: lastcall.WorkServerStream, Cancelled: 1},
			{Server: "web", Name: "GET /", Kind: lastcall.WorkRequest, Cut: 1},
		}, head + `; "grpc": 3 cancelled, such as /orders.Orders/Get; "web": 1 cut, such as GET /`},
		"still running": {[]lastcall.Work{
			{Server: "grpc", Name: "/health", Kind: lastcall.WorkInfra, Running: 9},
			{Server: "grpc", Name: "/orders.Orders/Watch", Kind: lastcall.WorkServerStream, Cancelled: 1, Running: 1},
			{Server: "grpc", Name: "/orders.Orders/Get", Kind: lastcall.WorkUnary, Running: 2},
			{Server: "grpc", Name: "accept", Kind: lastcall.WorkCall, Running: 9},
		}, head + `; "grpc": 1 cancelled, 3 still running, such as /orders.Orders/Get at get.go:7 (main.get)`},
		"not work": {[]lastcall.Work{{Server: "grpc", Name: "/health", Kind: lastcall.WorkInfra, Running: 9}}, head},
	} {
		t.Run(name, func(t *testing.T) {
			r := drained()
			r.Outcome, r.Work, r.Stacks = report.OutcomeCut, tt.work, stacks
			if err := r.Err(); err == nil || err.Error() != tt.want {
				t.Errorf("Err() is %v\nwant %s", err, tt.want)
			}
			if text := r.String(); strings.Contains(strings.SplitN(text, "\n", 2)[0], "cancelled") {
				t.Errorf("the first line of a text that lists it all names it as well:\n%s", text)
			}
		})
	}
}
