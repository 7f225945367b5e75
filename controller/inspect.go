package controller

import (
	"slices"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// inspect asks servers for their work in flight, and hands each answer to the loop.
// The shutdown waits for none of them. At the timer Cancel and Stop of a server are called
// when the goroutine that asks has come to the question.
func (r *run) inspect(servers []*server, atTimer bool, then func(*server, []lastcall.Work)) {
	for _, s := range servers {
		if s.full == nil {
			continue
		}
		var work []lastcall.Work
		c := r.ask(report.OpInFlight, s.name, func() {
			work = slices.Clone(s.full.InFlight())
			for i := range work {
				work[i].Server = s.name
			}
		}, func() { then(s, work) })
		if atTimer {
			s.asked = c
		}
	}
}

// inspectInFlight tells observers what is in flight now, even if the shutdown is further
// on when a server has answered. What a server had at the drain is dropped if it has told
// before what it had at the timer.
func (r *run) inspectInFlight(atTimer bool) {
	asked := *r.newStep(report.KindWork, "")
	r.inspect(r.servers, atTimer, func(s *server, work []lastcall.Work) {
		if s.told.After(asked.Start) {
			return
		}
		s.told = asked.Start
		step := asked
		step.Name, step.Work = s.name, work
		r.tell(step)
	})
}

// inspectAtEnd has the report filled with what became of the work, and with what the
// servers note.
func (r *run) inspectAtEnd(servers []*server) {
	r.inspect(servers, false, func(s *server, work []lastcall.Work) { s.work = work })
	for _, s := range servers {
		if s.full == nil {
			continue
		}
		var notes []string
		r.ask(report.OpNotes, s.name, func() { notes = slices.Clone(s.full.Notes()) }, func() { s.notes = notes })
	}
}
