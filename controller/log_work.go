package controller

import "github.com/lastcall-go/lastcall/report"
import "github.com/lastcall-go/lastcall"
import "github.com/rs/zerolog"

// maxListed is how many names a line lists at most.
const maxListed = 10

// inFlight writes how much work a server has when the drain begins, if it has any.
func (l *logger) inFlight(server string, work []lastcall.Work, now report.Step) {
	t := totalOf(work)
	if t.running+t.infrastructure > 0 {
		counts(where(l.Info(), now), server, t).Msg("in flight")
	}
}

// stillInFlight writes which work of a server the timer interrupts, if there is
// any: the names with most of it.
func (l *logger) stillInFlight(server string, work []lastcall.Work, now report.Step) {
	running := stillRunning(work)
	if len(running) == 0 {
		return
	}
	list := zerolog.Arr()
	for _, w := range running[:min(len(running), maxListed)] {
		d := zerolog.Dict().Str("name", w.Name).Int("running", w.Running)
		if age := w.age(now.Start); age != "" {
			d = d.Str("oldest", age)
		}
		if w.Peer != "" {
			d = d.Str("peer", w.Peer)
		}
		list = list.Dict(d)
	}
	e := counts(where(l.Warn(), now), server, totalOf(work)).Array("running", list)
	if more := len(running) - maxListed; more > 0 {
		e = e.Int("names_left_out", more)
	}
	e.Msg("still in flight")
}

// counts adds whose work it is and how much of it runs.
func counts(e *zerolog.Event, server string, t total) *zerolog.Event {
	return e.Str("server", server).Int("in_flight", t.running).Int("streams", t.streams).Int("infrastructure", t.infrastructure)
}

// became adds what became of all work, if any server has told.
func became(e *zerolog.Event, work []lastcall.Work) *zerolog.Event {
	if len(work) == 0 {
		return e
	}
	t := totalOf(work)
	return e.Int("completed", t.completed).Int("cancelled", t.cancelled).Int("cut", t.cut).Int("abandoned", t.running)
}
