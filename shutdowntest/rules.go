package shutdowntest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// A rule is a part of what a service is promised, or has to keep.
type rule struct {
	name  string
	means string
	holds func(*seen) string // what is wrong, or ""
}

// rules returns all rules, in the order of a shutdown.
func rules() []rule {
	return []rule{
		{"bounded", "Run has returned by the deadline", bounded},
		{"ready", "not ready before every server accepts; probes are down after announce, or, if the policy says so, when the drain begins", ready},
		{"not lost", "a call that began before the drain and could end before the timer has succeeded, and nothing was done twice", notLost},
		{"honest", "an interrupted call got a status that clients retry; none succeeded without its whole answer", honest},
		{"drained", "a stream that does not end by itself ends when the drain begins, and does not hold it until the timer", drained},
		{"ordered", "nothing was closed under a handler or worker that used it", ordered},
		{"quiet", "no work was claimed after announce", quiet},
		{"empty", "no goroutine, connection, file or dependency was left, and no closer, worker or server failed", empty},
		{"told", "telemetry was flushed, after everything that it tells of, and in time", told},
	}
}

// late is how much later than in virtual time things may be: nothing there, and in real
// time some more than the machine itself was late.
func (s *seen) late() time.Duration { return s.plan.late + s.starved }

func bounded(s *seen) string {
	switch at := s.deadline(); {
	case s.ended.IsZero() || !s.gaveUp.IsZero():
		return fmt.Sprintf("it had not returned at %s, when the clients left; the deadline was %s", s.since(s.gaveUp), s.since(at))
	case s.ended.After(at.Add(s.late())):
		return fmt.Sprintf("it returned at %s; the deadline was %s", s.since(s.ended), s.since(at))
	}
	return ""
}

func ready(s *seen) string {
	up := s.ready // health and probes may say so before
	whose := "the process was ready"
	for _, p := range append(s.health, s.probes...) {
		if p.up && (up.IsZero() || p.at.Before(up)) {
			up, whose = p.at, "the probe of "+p.name+" said ready"
		}
		if p.up && p.at.After(s.drain().Add(s.late())) {
			return fmt.Sprintf("the probe of %s said ready at %s; the drain began at %s", p.name, s.since(p.at), s.since(s.drain()))
		}
	}
	for _, p := range s.probes {
		if p.up && p.down && !s.settling.IsZero() && p.at.After(s.settling.Add(s.late())) {
			return fmt.Sprintf("the probe of %s said ready at %s; the controller takes probes down when it announces, which was over at %s", p.name, s.since(p.at), s.since(s.settling))
		}
	}
	for _, l := range s.listeners {
		if !up.IsZero() && (l.accepted.IsZero() || l.accepted.After(up.Add(s.late()))) {
			return fmt.Sprintf("%s at %s, and %s accepted at %s", whose, s.since(up), l.name, s.since(l.accepted))
		}
	}
	return healthDown(s)
}

// watchTime is how long after the begin of the drain grpcadapter tells those who watch health:
// right after the GOAWAYs, which peers that are silent hold back for a second, by default, and
// peers that do not read for 10 ms more.
const watchTime = time.Second + 10*time.Millisecond

// healthDown: whoever watches grpc.health.v1 is told NOT_SERVING as the drain begins.
func healthDown(s *seen) string {
	if s.hurry() && !s.timer().After(s.drain()) {
		return ""
	}
	was, late := map[string]bool{}, s.late()
	if s.report != nil {
		late += watchTime
	}
	for _, p := range s.health {
		drain := s.drain()
		for _, l := range s.listeners {
			if l.name == p.name && l.closed.After(drain) { // others are stopped before this server
				drain = l.closed
			}
		}
		switch {
		case p.over && was[p.name] && !p.aged && !p.at.Before(s.asked):
			return fmt.Sprintf("the health of %s was SERVING until its stream ended at %s", p.name, s.since(p.at))
		case !p.over && !p.up && p.at.After(drain.Add(late)):
			return fmt.Sprintf("the health of %s became NOT_SERVING at %s; its drain began at %s", p.name, s.since(p.at), s.since(drain))
		}
		was[p.name] = p.up
	}
	for name, up := range was {
		if up {
			return fmt.Sprintf("the health of %s was SERVING to the end", name)
		}
	}
	return ""
}

// fair reports whether a call is one of a client that behaves, from before the drain.
func (s *seen) fair(c *call) bool {
	return c.client.Temper == normal && c.begun.Add(s.late()).Before(s.drain()) && !s.ready.IsZero()
}

// serves reports whether the service did something for the client of a call after an
// instant: a client may have its answer and take its time with it.
func (s *seen) serves(c *call, at time.Time) bool {
	return slices.ContainsFunc(s.conns, func(sc *serverConn) bool {
		return sc.listener == c.load.listener && slices.Contains(c.client.addrs, sc.peer) && (sc.closed.IsZero() || sc.closed.After(at) || sc.wrote.After(at))
	})
}

// varied is how many times as long as the longest one a call may take, if they vary.
const varied = 5

func notLost(s *seen) string {
	if s.twice != "" {
		return s.twice
	}
	for _, c := range s.calls {
		if !s.fair(c) || c.load.endless() || c.over && c.usual() || c.load.unknown() && (!c.over || !c.ended.Before(s.timer())) {
			continue
		}
		needs := c.load.took.longest * time.Duration(len(s.calls)+1) // they may wait for each other
		if c.load.took.vary() && (!c.over || !c.ended.Before(s.timer())) {
			needs *= varied // it may be one that needs longer; cut before the timer, it was not given what others need
		}
		if end := c.begun.Add(needs + s.late()); end.Before(s.timer()) && !c.ok() && (c.over || s.serves(c, s.timer())) {
			what := "has no answer"
			if c.over {
				what = fmt.Sprintf("failed at %s: %v", s.since(c.ended), c.why())
				if s.report != nil && !c.ended.Before(s.timer()) {
					what += "\n(if it waited for a worker or server that ends earlier: that has to be After the one of this call)"
				}
			}
			return fmt.Sprintf("%s began at %s, before the drain at %s, takes at most %v and had until %s; it %s",
				c.name, s.since(c.begun), s.since(s.drain()), c.load.took.longest, s.until(), what)
		}
	}
	return ""
}

func honest(s *seen) string {
	for _, c := range s.calls {
		if c.client.Temper == vanishes {
			continue
		}
		if wrong := c.dishonest(); wrong != "" {
			return fmt.Sprintf("%s began at %s; at %s %s", c.name, s.since(c.begun), s.since(c.ended), wrong)
		}
	}
	return ""
}

func drained(s *seen) string {
	if s.hurry() {
		return ""
	}
	for _, c := range s.calls {
		if s.fair(c) && c.load.endless() && (!c.over || !c.ended.Before(s.timer())) && s.serves(c, s.timer().Add(-1)) {
			return fmt.Sprintf("%s does not end by itself, and ended neither when the drain began at %s nor before %s: it %s",
				c.name, s.since(s.drain()), s.until(), s.end(c.ended))
		}
	}
	return ""
}

func ordered(s *seen) string {
	for _, w := range s.watched {
		switch {
		case len(w.under) > 0:
			return fmt.Sprintf("%s was closed at %s, under %s, the first one in %s since %s", w.name, s.since(w.closed), count(len(w.under), "use"), w.under[0].where, s.since(w.under[0].at))
		case w.after != nil:
			return fmt.Sprintf("%s was closed at %s, and used at %s in %s", w.name, s.since(w.closed), s.since(w.after.at), w.after.where)
		case w.closed.IsZero():
			continue
		}
		at := w.closed.Add(s.late())
		for _, c := range s.calls {
			if s.fair(c) && c.begun.Before(w.closed) && (!c.over || c.ended.After(at)) && at.Before(s.timer()) && s.serves(c, at) {
				return fmt.Sprintf("%s was closed at %s, under %s, which %s", w.name, s.since(w.closed), c.name, s.end(c.ended))
			}
		}
		for _, c := range s.claims {
			if c.begun.Before(w.closed) && (c.ended.IsZero() || c.ended.After(at)) {
				return fmt.Sprintf("%s was closed at %s, under the work of %s, which was claimed at %s and %s", w.name, s.since(w.closed), c.name, s.since(c.begun), s.end(c.ended))
			}
		}
	}
	return ""
}

func quiet(s *seen) string {
	for _, c := range s.claims {
		if c.late && (c.until == nil || c.begun.After(c.until.Add(s.late()))) && !s.announced.IsZero() && c.begun.After(s.announced.Add(s.late())) {
			return fmt.Sprintf("%s was claimed at %s; announce was at %s", c.name, s.since(c.begun), s.since(s.announced))
		}
	}
	return ""
}

func empty(s *seen) string {
	for _, c := range s.open {
		return fmt.Sprintf("%s open when it returned, the first one to %s, accepted at %s", were(len(s.open), "connection"), c.listener, s.since(c.opened))
	}
	if len(s.unclosed) > 0 {
		return fmt.Sprintf("the listener %s was not closed when it returned", s.unclosed[0])
	}
	if len(s.left) > 0 {
		return leftovers(s.left)
	}
	if len(s.files) > 0 {
		return fmt.Sprintf("%s left open: %s", were(len(s.files), "descriptor"), strings.Join(s.files, ", "))
	}
	for _, w := range s.watched {
		if w.closed.IsZero() || w.closed.After(s.ended) && !s.ended.IsZero() {
			return fmt.Sprintf("%s was not closed when it returned", w.name)
		}
	}
	return failed(s)
}

// failed: no closer failed, nor a worker in a shutdown that had its time, nor a server before
// it was told to stop. A closer that was given too little by a budget that was drawn has not
// failed.
func failed(s *seen) string {
	if s.report == nil {
		return ""
	}
	for _, c := range s.report.Failures() {
		short := c.Result == report.ResultTimedOut || errors.Is(c.Err, context.Canceled) || errors.Is(c.Err, context.DeadlineExceeded)
		switch {
		case c.Op == report.OpServe && !short, // before it was told to stop: later any error is its end
			c.Op == report.OpClose && (!short || s.plan.own && !s.hurry()),
			c.Op == report.OpWork && !short && !s.hurry() && s.ended.Before(s.timer()) && !errors.Is(c.Err, errAsked):
			return c.String()
		}
	}
	drains := func(c report.Step) bool { return c.Op == report.OpGracefulStop && c.Phase == lastcall.PhaseDrain }
	if s.report.Settle == report.SettleNobody && slices.ContainsFunc(s.report.Steps, drains) && !s.report.Triggered.Before(s.asked) {
		return fmt.Sprintf("settle ended at %s, as no server was left serving: each Serve had returned before it was told to", s.since(s.drain()))
	}
	return ""
}

func told(s *seen) string {
	for _, f := range s.flushes {
		if f.begun.IsZero() || f.begun.After(s.ended) && !s.ended.IsZero() {
			return fmt.Sprintf("%s was not flushed when it returned", f.name)
		}
		// A budget that was drawn may be too short; that of the service may not.
		if s.cut.IsZero() && (f.cut && s.plan.own || f.err != nil && !f.cut) {
			return fmt.Sprintf("%s was flushed at %s, and failed: %v", f.name, s.since(f.begun), f.err)
		}
		for _, w := range s.watched {
			if w.closed.After(f.begun) {
				return fmt.Sprintf("%s was flushed at %s, and %s closed at %s", f.name, s.since(f.begun), w.name, s.since(w.closed))
			}
		}
		for _, c := range s.calls {
			if at := f.begun.Add(s.late()); s.fair(c) && c.begun.Before(f.begun) && (!c.over || c.ended.After(at)) && at.Before(s.timer()) && s.serves(c, at) {
				return fmt.Sprintf("%s was flushed at %s, under %s, which %s", f.name, s.since(f.begun), c.name, s.end(c.ended))
			}
		}
		for _, c := range s.claims {
			if c.begun.Before(f.begun) && (c.ended.IsZero() || c.ended.After(f.begun.Add(s.late()))) {
				return fmt.Sprintf("%s was flushed at %s, under the work of %s, claimed at %s", f.name, s.since(f.begun), c.name, s.since(c.begun))
			}
		}
	}
	return ""
}
