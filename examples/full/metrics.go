package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/lastcall-go/lastcall"
)

// metrics is a page that tells how much work each server has in flight, and how long
// the worker's queue is, in the text format of Prometheus.
type metrics struct {
	servers map[string]lastcall.FullServer
	guests  *guestBook
}

func (m metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) } // the client has gone if this fails
	// The guest book closes before this server does.
	if waiting, err := m.guests.waiting(); err == nil {
		line("# TYPE unthanked gauge")
		line("unthanked %d", waiting)
	}
	line("# TYPE in_flight gauge")
	for _, name := range slices.Sorted(maps.Keys(m.servers)) {
		for _, work := range m.servers[name].InFlight() {
			line("in_flight{server=%q,kind=%q,name=%q} %d", name, work.Kind, work.Name, work.Running)
		}
	}
}
