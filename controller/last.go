package controller

import (
	"time"

	"github.com/lastcall-go/lastcall/report"
)

// lastTime bounds the GracefulStop of servers that are Last, and lastStopTime what
// then Stop may need.
const (
	lastTime     = 100 * time.Millisecond
	lastStopTime = time.Second
)

// endLasts stops the servers that outlive the others, all at the same time.
func (r *run) endLasts() {
	if len(r.lasts) == 0 {
		return
	}
	for _, s := range r.lasts {
		r.gracefulStop(s)
	}
	start, half := time.Now(), r.share(2)
	r.await(func() bool { return gone(r.lasts) }, func() time.Time { return earlier(start.Add(lastTime), half()) })
	var stops []*call
	for _, s := range r.lasts {
		if !s.graceful.ended() {
			stops = append(stops, r.call(report.OpStop, s.name, func() error { s.halt(&r.order); return nil }, nil))
		}
	}
	start, rest := time.Now(), r.share(1)
	r.await(func() bool { return gone(r.lasts) && allDone(stops) }, func() time.Time { return earlier(start.Add(lastStopTime), rest()) })
	if time.Now().Before(r.deadline) {
		r.inspectAtEnd(r.lasts) // finish waits for the answers, as long as for anything that takes next to no time
	}
}
