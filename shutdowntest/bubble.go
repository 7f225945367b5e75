package shutdowntest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// result is what a check comes to.
type result struct {
	seen  *seen
	err   error
	stays bool // the bubble cannot end
}

// bubble runs a check in a bubble, or in real time. calm is called when the service is
// ready, instead of random load.
//
// A goroutine that the service has left would keep the bubble from ending, and one that
// ticks would do so at full speed. So the check hands its result out, and a bubble that
// cannot end stays behind, frozen: its first goroutine waits for something outside, for
// which virtual time stands still. That is why rapid.SyncTest is not used here.
func (k *kit) bubble(t *testing.T, p *plan, calm func(*world) error) (*seen, error) {
	over := false
	var files map[string]string
	if calm == nil { // what is left of a check in calm is not judged
		files = k.files()
	}
	results := make(chan result, 1)
	never := make(chan struct{})
	if k.real != "" {
		k.inside(p, calm, results, nil)
	} else {
		// Package os/signal starts a goroutine that never ends: not in the bubble.
		ch := make(chan os.Signal, 1)
		signal.Notify(ch, os.Interrupt)
		signal.Stop(ch)
		ended := make(chan struct{})
		go func() {
			synctest.Test(t, func(*testing.T) { k.inside(p, calm, results, never) })
			close(ended)
		}()
		defer func() {
			if over {
				<-ended
			}
		}()
	}
	for try := 1; ; try++ {
		select {
		case r := <-results:
			if over = !r.stays; r.err == nil && calm == nil {
				r.seen.files = k.opened(files)
			}
			return r.seen, r.err
		case <-time.After(k.stuck):
		}
		stacks := make([]byte, 1<<20)
		waits := stuck(stacks[:runtime.Stack(stacks, true)])
		if try < stuckTimes && atWork(waits) {
			continue // the machine may be busy
		}
		return nil, fmt.Errorf("the check has not ended after %v: it seems that the service waits for something outside of its bubble, such as a socket, a pipe, or a channel or a mutex that others hold, or that it never rests: time passes only while all of its goroutines wait; "+
			"give it listeners and connections of the Env only, or use RealTime\n%s", time.Duration(try)*k.stuck, waits)
	}
}

// How long a check in virtual time may take in real time, and how often that if it is at work.
const (
	stuckTime  = 30 * time.Second
	stuckTimes = 4
)

// stuck returns the goroutines that a bubble waits for, but for that of a frozen one.
func stuck(stacks []byte) string {
	const frozen = "github.com/lastcall-go/lastcall/shutdowntest.(*kit).inside("
	var all []string
	for g := range strings.SplitSeq(string(stacks), "\n\n") {
		first, frames, _ := strings.Cut(g, "\n")
		if strings.Contains(first, "synctest bubble") && !strings.Contains(first, "(durable)") && !strings.HasPrefix(frames, frozen) {
			all = append(all, g)
		}
	}
	return strings.Join(all, "\n\n")
}

// atWork reports whether a bubble goes on: where it waits for nothing its time passes.
func atWork(waits string) bool {
	return waits == "" || strings.Contains(waits, " [runnable") || strings.Contains(waits, " [running")
}

func (k *kit) inside(p *plan, calm func(*world) error, results chan<- result, never <-chan struct{}) {
	s := &seen{plan: p, calm: k.calm()}
	env := &Env{seen: s, plan: p, real: k.real != "", signals: make(chan os.Signal, 8), claimed: make(chan struct{}, 1), lis: map[string]*listener{}, until: map[<-chan struct{}]*time.Time{}}
	w := &world{kit: k, env: env, seen: s, plan: p, fail: make(chan error, 1), calm: calm}
	w.clients, w.leave = context.WithCancel(context.Background())
	if k.real != "" {
		over := make(chan struct{})
		defer close(over)
		go s.clock(over)
	}
	before := goroutines(k.real == "")
	err := w.build()
	if err == nil {
		err = w.run()
		s.do(func() { s.judgeBy(p.budget); s.listeners = w.listeners() })
		for range settleTimes {
			k.settled()
			if s.closed(); len(s.open)+len(s.unclosed) == 0 || k.real == "" {
				break
			}
		}
	}
	w.end()
	if calm != nil && k.real != "" { // see bubble
		results <- result{seen: s, err: err}
		return
	}
	k.settled()
	left := k.left(before)
	if len(left) == 0 && k.real == "" { // what timers do that are left is seen as well
		time.Sleep(k.pace().longer)
		k.settled()
		left = k.left(before)
	}
	if err == nil {
		s.left = left
	}
	stays := len(left) > 0
	results <- result{s, err, stays}
	if stays && never != nil {
		<-never
	}
}

// settled waits until everything that is under way has happened.
func (k *kit) settled() {
	if k.real == "" {
		synctest.Wait()
		return
	}
	time.Sleep(settleTime)
}

// closed takes in which listeners and connections are open.
func (s *seen) closed() {
	s.do(func() {
		s.unclosed = nil
		for _, l := range s.listeners {
			if !l.accepted.IsZero() && l.closed.IsZero() {
				s.unclosed = append(s.unclosed, l.name)
			}
		}
		s.open = slices.DeleteFunc(slices.Clone(s.conns), func(c *serverConn) bool { return !c.closed.IsZero() })
	})
}

// clock measures for how long the machine was too busy to run timers.
func (s *seen) clock(over <-chan struct{}) {
	for {
		began := time.Now()
		select {
		case <-time.After(beat):
		case <-over:
			return
		}
		if more := time.Since(began) - beat; more > beat {
			s.do(func() { s.starved += more })
		}
	}
}

// In real time: what goroutines that are ending may take, how often, and how often the
// clock looks.
const (
	settleTime  = 50 * time.Millisecond
	settleTimes = 10
	beat        = 5 * time.Millisecond
)

// left returns the goroutines that were not there before.
func (k *kit) left(before map[string]string) (left []string) {
	for range 3 * settleTimes { // longer than net/http waits, see below
		left = nil
		for id, stack := range goroutines(k.real == "") {
			if _, was := before[id]; !was {
				left = append(left, stack)
			}
		}
		if len(left) == 0 || k.real == "" {
			break
		}
		time.Sleep(settleTime)
	}
	// When net/http has refused the rest of a request, its goroutine waits half a second
	// after it has closed the connection for writing, and nothing can end that.
	lingers := func(stack string) bool { return strings.Contains(stack, "created by net/http.(*Server).Serve in") }
	if k.real == "" && slices.ContainsFunc(left, lingers) {
		time.Sleep(lingerTime)
		still := slices.Collect(maps.Keys(goroutines(true)))
		left = slices.DeleteFunc(left, func(stack string) bool {
			return lingers(stack) && !slices.ContainsFunc(still, func(id string) bool { return strings.HasPrefix(stack, id+" ") })
		})
	}
	slices.Sort(left)
	return left
}

// leftovers names the creator of each goroutine, and shows where the first one stands.
func leftovers(stacks []string) string {
	stacks = slices.Clone(stacks)
	slices.SortStableFunc(stacks, func(a, b string) int { return cmp.Compare(foreign(a), foreign(b)) })
	var which []string
	for _, stack := range stacks {
		first, _, _ := strings.Cut(stack, "\n")
		_, waits, _ := strings.Cut(first, "[")
		waits, _, _ = strings.Cut(strings.TrimSuffix(waits, "]:"), ",")
		_, creator, _ := strings.Cut(stack, "created by ")
		creator, at, _ := strings.Cut(creator, " in goroutine ")
		_, at, _ = strings.Cut(at, "\n\t")
		at, _, _ = strings.Cut(at, " +0x")
		line := fmt.Sprintf("  created by %s at %s: %s", creator, filepath.Base(at), strings.TrimSuffix(waits, " (durable)"))
		if !slices.Contains(which, line) {
			which = append(which, line)
		}
	}
	return fmt.Sprintf("%s left\n%s\n%s", were(len(stacks), "goroutine"), strings.Join(which, "\n"), stacks[0])
}

// foreign ranks a goroutine by whose code it runs: 0 for the service's, 1 for that of
// libraries alone, and 2 if lastcall's is among that. Those have come with the service's.
func foreign(stack string) int {
	const module = "github.com/lastcall-go/lastcall/"
	rank := 1
	for line := range strings.Lines(stack) {
		domain, _, path := strings.Cut(line, "/")
		switch {
		case strings.HasPrefix(line, "\t"), strings.HasPrefix(line, "goroutine "), strings.HasPrefix(line, "created by "), strings.HasPrefix(line, "google.golang.org/grpc"):
		case strings.HasPrefix(line, module) && !strings.HasPrefix(line, module+"examples/"):
			rank = 2
		case strings.HasPrefix(line, "main."), path && strings.Contains(domain, "."):
			return 0
		}
	}
	return rank
}

// lingerTime is longer than net/http waits.
const lingerTime = time.Second

// goroutines returns the stacks of the goroutines of the caller's bubble, or of all, but
// for the caller's own.
func goroutines(bubbled bool) map[string]string {
	buf := make([]byte, 1<<16)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	stacks := bytes.Split(buf[:n], []byte("\n\n"))
	bubble := regexp.MustCompile(`synctest bubble \d+`)
	own := bubble.Find(stacks[0]) // the caller's stack comes first
	all := map[string]string{}
	for _, stack := range stacks[1:] {
		first, _, _ := bytes.Cut(stack, []byte("\n"))
		if bubbled && !bytes.Equal(bubble.Find(first), own) || bytes.Contains(stack, []byte("testing/synctest.Test(")) || bytes.Contains(stack, []byte("testing.tRunner(")) {
			continue
		}
		id, _, _ := bytes.Cut(first, []byte(" ["))
		all[string(id)] = string(stack)
	}
	return all
}
