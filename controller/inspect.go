package controller

import "github.com/lastcall-go/lastcall/report"
import "github.com/lastcall-go/lastcall"
import "slices"

// inspect asks those of the servers that know for their work in flight, and hands each
// answer to the loop. Nobody waits for one, and one that comes when the server has
// been asked again is of no use any more.
func (r *run) inspect(servers []*server, then func(*server, []lastcall.Work)) {
	for _, s := range servers {
		inspector, ok := s.server.(Inspector)
		if !ok {
			continue
		}
		var work []lastcall.Work
		var c *call
		c = r.ask(report.OpInFlight, s.name, func() {
			work = slices.Clone(inspector.InFlight())
			for i := range work {
				work[i].Server = s.name
			}
		}, func() {
			if s.inspection == c {
				then(s, work)
			}
		})
		s.inspection = c
	}
}

// inspectAtDrain logs what is in flight when the drain begins.
func (r *run) inspectAtDrain() {
	r.inspect(r.servers, func(s *server, work []lastcall.Work) {
		now := *r.newStep(report.KindCall, s.name)
		r.record.say(func(l *logger) { l.inFlight(s.name, work, now) })
	})
}

// inspectAtTimer logs what the timer interrupts.
func (r *run) inspectAtTimer() {
	r.inspect(r.servers, func(s *server, work []lastcall.Work) {
		now := *r.newStep(report.KindCall, s.name)
		r.record.say(func(l *logger) { l.stillInFlight(s.name, work, now) })
	})
}

// inspectAtEnd has the report filled with what became of the work, and with what
// the servers note.
func (r *run) inspectAtEnd(servers []*server) {
	r.inspect(servers, func(s *server, work []lastcall.Work) { s.work = work })
	for _, s := range servers {
		if noter, ok := s.server.(Noter); ok {
			var notes []string
			r.ask(report.OpNotes, s.name, func() { notes = slices.Clone(noter.Notes()) }, func() { s.notes = notes })
		}
	}
}
