package shutdowntest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
)

// How many calls are made in calm for each load, at first and before the first failure,
// and for how long one may last that ends by itself.
const (
	calmCalls = 2
	sureCalls = 100
	calmTime  = time.Minute
	calmReal  = 2 * time.Second
)

// calibrate learns, in one service that is then shut down, how long the calls of each load
// take, what they answer, and whether they end by themselves.
func (k *kit) calibrate(t *testing.T, calls int) error {
	limit := calmTime
	if k.real != "" {
		limit = calmReal
	}
	budget := lastcall.Budget{Total: 2*limit + time.Nanosecond, Reserve: limit} // one that no service has
	if k.budget != nil {
		budget = *k.budget
	}
	p := &plan{trigger: byShutdown, budget: budget, late: k.late()}
	s, err := k.bubble(t, p, func(w *world) error {
		for _, l := range k.loads {
			began := time.Now()
			for i := 0; i < calls && l.probe == ""; i++ {
				if i >= calmCalls && (l.endless() || k.real != "" && time.Since(began) > limit) {
					break
				}
				c, err := w.newClient("calm", l, w.env.listener(l.listener), clientPlan{Temper: normal})
				if err != nil {
					return err
				}
				ctx, cancel := context.WithCancel(w.clients) // a deadline would be told to the server
				timer := time.AfterFunc(limit, cancel)
				one := c.do(ctx)
				timer.Stop()
				cancel()
				c.close()
				l.calm = append(l.calm, one)
				if one.over && !one.ok() {
					return fmt.Errorf("a call of load %s failed with status %d: %w", l.name, one.heard.status, errors.Join(one.err, one.heard.broken))
				}
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
	if s.report != nil && s.report.Budget != budget {
		k.budget = &s.report.Budget
	}
	return nil
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

// learn takes in how long calls take that end before the trigger.
func (s *seen) learn() {
	for _, c := range s.calls {
		if c.client.Temper == normal && c.ok() && (s.asked.IsZero() || c.ended.Before(s.asked)) {
			c.load.took.add(c.ended.Sub(c.begun))
		}
	}
}

// endless reports whether the calls do not end by themselves.
func (l *load) endless() bool {
	return slices.ContainsFunc(l.calm, func(c *call) bool { return !c.over })
}

// whole reports whether an answer has as much as those in calm have, if those agree.
func (c *call) whole() bool {
	if c.load.endless() || len(c.load.calm) < calmCalls {
		return true
	}
	a := c.load.calm[0].heard
	return c.heard.messages >= a.messages && c.heard.size >= a.size ||
		slices.ContainsFunc(c.load.calm, func(b *call) bool { return b.heard != a })
}
