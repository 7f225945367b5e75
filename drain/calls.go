package drain

import (
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/internal/foreign"
)

// works returns calls that have not returned as the controller reports them.
func works(calls []foreign.Call) []controller.Work {
	work := make([]controller.Work, 0, len(calls))
	for _, c := range calls {
		work = append(work, controller.Work{Kind: controller.WorkCall, Name: c.Name, Running: c.Running, Oldest: c.Oldest})
	}
	return work
}
