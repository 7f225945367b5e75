package controller

import (
	"slices"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// inspect asks servers for their work in flight, and hands each answer to the loop.
// The shutdown waits for none of them.
func (r *run) inspect(servers []*server, then func(*server, []lastcall.Work)) {
	for _, s := range servers {
		if s.full == nil {
			continue
		}
		var work []lastcall.Work
		r.ask(report.OpInFlight, s.name, func() {
			work = slices.Clone(s.full.InFlight())
			for i := range work {
				work[i].Server = s.name
			}
		}, func() { then(s, work) })
	}
}

// inspectInFlight tells observers what is in flight now, even if the shutdown is further
// on when a server has answered. What a server had at the drain is dropped if it has told
// before what it had at the timer.
func (r *run) inspectInFlight() {
	step := *r.newStep(report.KindWork, "")
	r.inspect(r.servers, func(s *server, work []lastcall.Work) {
		if s.told.After(step.Start) {
			return
		}
		s.told = step.Start
		step.Name, step.Work = s.name, work
		r.tell(step)
	})
}

// inspectAtEnd has the report filled with what became of the work, and with what the
// servers note.
func (r *run) inspectAtEnd(servers []*server) {
	r.inspect(servers, func(s *server, work []lastcall.Work) { s.work = work })
	for _, s := range servers {
		if s.full == nil {
			continue
		}
		var notes []string
		r.ask(report.OpNotes, s.name, func() { notes = slices.Clone(s.full.Notes()) }, func() { s.notes = notes })
	}
}
