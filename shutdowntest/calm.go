package shutdowntest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall"
)

// How many calls are made in calm for each load, at first and before the first failure.
const (
	calmCalls = 2
	sureCalls = 100
	burst     = 12 // calls at once, as many as a check makes of a load: what is refused then, and how a pool grows
)

// calibrate learns, in one service that is then shut down, how long the calls of each load
// take, what they answer, and whether they end by themselves.
func (k *kit) calibrate(t *testing.T, calls int) error { //nolint:gocognit // one pass over the loads, each with the same three questions
	limit := k.pace().limit
	budget := lastcall.Budget{Total: 2*limit + time.Nanosecond, Reserve: limit} // one that no service has
	if k.budget != nil {
		budget = *k.budget
	}
	p := &plan{trigger: byShutdown, budget: budget, late: k.pace().late}
	s, err := k.bubble(t, p, func(w *world) error {
		for _, l := range k.loads {
			began := time.Now()
			if l.probe != "" {
				if err := w.up(l, limit); err != nil {
					return err
				}
				continue
			}
			for i := 0; i < calls || i < sureCalls && l.useless() != ""; i++ {
				if i >= calmCalls && (l.endless() || k.real != "" && time.Since(began) > limit) {
					break
				}
				if err := w.inCalm(l, limit, 1); err != nil && calls == calmCalls {
					return err
				}
			}
			if calls > calmCalls && !l.endless() {
				_ = w.inCalm(l, limit, burst)
			}
			if what := l.useless(); what != "" {
				return fmt.Errorf("load %s %s", l.name, what)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.do(s.learn)
	if s.ended.IsZero() {
		return fmt.Errorf("the service did not stop:\n%s", strings.Join(s.story(), "\n"))
	}
	k.said = k.unasked(s)
	if s.report != nil && s.report.Budget != budget {
		k.budget = &s.report.Budget
	}
	return nil
}

// inCalm makes calls of a load at once, and returns how one of them failed.
func (w *world) inCalm(l *load, limit time.Duration, n int) error {
	ctx, cancel := context.WithCancel(w.clients) // a deadline would be told to the server
	defer cancel()
	defer time.AfterFunc(limit, cancel).Stop()
	made := make(chan *call, n)
	for range n {
		c, err := w.newClient("calm", l, clientPlan{Temper: normal})
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, c.close) // ends calls that do not have the context
		w.wg.Go(func() { made <- c.do(ctx); c.close() })
	}
	for range n {
		one := <-made
		if one.calm, one.crowded = true, n > 1; n == 1 {
			l.calm = append(l.calm, one)
		}
		if one.over && (one.err != nil || one.heard.broken != nil) {
			return fmt.Errorf("a call of load %s failed: %w", l.name, one.why())
		}
	}
	return nil
}

// up waits until a probe has said ready.
func (w *world) up(l *load, limit time.Duration) error {
	for end := time.Now().Add(limit); time.Now().Before(end) && w.sleep(time.Now().Add(probing), w.over); {
		up := false
		w.seen.do(func() {
			up = slices.ContainsFunc(w.seen.probes, func(p probed) bool { return p.name == l.name && p.up })
		})
		if up {
			return nil
		}
	}
	return fmt.Errorf("load %s has not said ready within %v", l.name, limit)
}

// unasked returns what the check does not ask the service for, which may be meant so.
func (k *kit) unasked(s *seen) (said []string) {
	for _, l := range s.listeners {
		if !slices.ContainsFunc(k.loads, func(of *load) bool { return of.listener == l.name }) {
			said = append(said, fmt.Sprintf("no load is for the listener %q: nothing is asked of it", l.name))
		}
	}
	for _, l := range k.loads {
		if l.raw != nil && !slices.ContainsFunc(l.calm, func(c *call) bool { return !c.over || c.heard.lengths[1] > 0 }) {
			said = append(said, fmt.Sprintf("load %s reads nothing: whether it was answered is not judged", l.name))
		}
	}
	return said
}

// useless returns what is wrong with a load of which no call in calm has got anything but
// an error: it would show nothing in a shutdown either.
func (l *load) useless() string {
	if len(l.calm) == 0 || l.raw != nil || slices.ContainsFunc(l.calm, func(c *call) bool { return !c.over || c.heard.good }) {
		return ""
	}
	last := l.calm[len(l.calm)-1].heard
	if !last.made {
		return "makes no call: let it use the client that it is given"
	}
	return fmt.Sprintf("gets nothing but errors, and returns none; the last one was %s: let it ask for what the service has, and return an error for an answer that it does not expect", last.answer())
}

func inCalm(err error) string { return fmt.Sprintf("in calm, without a shutdown: %v", err) }

// lengths is how long calls take.
type lengths struct {
	known             bool
	shortest, longest time.Duration
}

func (l *lengths) add(took time.Duration) {
	if !l.known || took < l.shortest {
		l.shortest = took
	}
	l.known, l.longest = true, max(l.longest, took)
}

// vary reports whether some calls take so much longer than others that their lengths do
// not tell how long another one takes.
func (l *lengths) vary() bool { return l.longest > 2*l.shortest+10*time.Millisecond }

// learn takes in how long calls take, and how they fail, that end before the trigger.
func (s *seen) learn() {
	for _, c := range s.calls {
		switch l := c.load; {
		case c.client.Temper != normal || !c.over || !c.calm && !s.asked.IsZero() && !c.ended.Before(s.asked):
		case !c.ok():
			l.fails[c.outcome()] = true
		default:
			l.empty = l.empty || c.heard.lengths[1] == 0
			if !c.crowded {
				l.took.add(c.ended.Sub(c.begun))
			}
		}
	}
}

// outcome is how a call ended, as its client sees it.
func (c *call) outcome() string {
	switch {
	case c.load.grpc != nil:
		return status.Code(c.err).String()
	case c.heard.broken != nil:
		return "broken"
	case c.err != nil:
		return c.err.Error()
	}
	return http.StatusText(c.heard.status)
}

// usual reports whether a call failed as calls do without a shutdown.
func (c *call) usual() bool { return !c.ok() && c.load.fails[c.outcome()] }

// endless reports whether the calls do not end by themselves.
func (l *load) endless() bool { return len(l.calm) > 0 && !slices.ContainsFunc(l.calm, ended) }

// unknown reports whether some calls have not ended in calm, so that the longest ones are
// not known.
func (l *load) unknown() bool {
	return !l.endless() && slices.ContainsFunc(l.calm, func(c *call) bool { return !c.over })
}

func ended(c *call) bool { return c.over }

// whole reports whether an answer has as much as those in calm have, if those agree, and,
// if it is not one of gRPC, anything at all if each of those has.
func (c *call) whole() bool {
	if c.load.endless() || len(c.load.calm) < calmCalls {
		return true
	}
	a := c.load.calm[0].heard.lengths
	if c.heard.lengths[1] == 0 && !c.load.empty && c.load.grpc == nil {
		return false
	}
	return c.heard.lengths[0] >= a[0] && c.heard.lengths[1] >= a[1] ||
		slices.ContainsFunc(c.load.calm, func(b *call) bool { return b.heard.lengths != a || b.heard.status != c.load.calm[0].heard.status })
}
