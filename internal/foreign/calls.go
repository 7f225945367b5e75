// Package foreign runs user code on goroutines of its own, so that it can hang, panic
// or end its goroutine without blocking its caller.
package foreign

import (
	"context"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/stacks"
)

// Calls runs calls into code that is not ours on goroutines of their own, and
// knows which of them have not returned. The zero value is ready; any number of
// goroutines may use it.
type Calls struct {
	// Failed is called when a call has panicked, with the value, or has ended its goroutine,
	// with nil, before that has returned. It must not block, and may be nil.
	Failed func(name string, value any)

	mu     sync.Mutex // never held during a call
	calls  map[*running]struct{}
	failed int
}

type running struct {
	name  string
	began time.Time
	done  chan struct{}
}

// Run starts the call and returns at once, with a channel that is closed when the call
// has returned and Left does not list it any more. A call that panics, or ends its
// goroutine with runtime.Goexit, has returned as well.
func (f *Calls) Run(name string, call func()) <-chan struct{} {
	c := &running{name: name, began: time.Now(), done: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[*running]struct{}{}
	}
	f.calls[c] = struct{}{}
	go f.watch(c, call)
	return c.done
}

// stallTime is for how long a call of RunAll may hold up others.
const stallTime = 5 * time.Millisecond

// RunAll is Run for many calls that are quick, on as few goroutines as they need. Once a
// call takes longer than stallTime, those that are left get a goroutine each. It returns a
// channel that is closed when all have returned.
func (f *Calls) RunAll(name string, calls []func()) <-chan struct{} {
	var left atomic.Int64
	left.Store(int64(len(calls)))
	done := make(chan struct{})
	if len(calls) == 0 {
		close(done)
	}
	todo := make(chan func(), len(calls))
	for _, call := range calls {
		todo <- func() {
			defer func() {
				if left.Add(-1) == 0 {
					close(done)
				}
			}()
			call()
		}
	}
	close(todo)
	spread := func() {
		for call := range todo {
			f.Run(name, call)
		}
	}
	work := func() {
		for call := range todo {
			stalls := time.AfterFunc(stallTime, spread) // also if the call ends this goroutine
			call()
			stalls.Stop()
		}
	}
	for range min(len(calls), runtime.GOMAXPROCS(0)) {
		f.Run(name, work)
	}
	return done
}

func (f *Calls) watch(c *running, call func()) {
	pprof.SetGoroutineLabels(stacks.Of(context.Background(), c.name))
	returned := false
	defer func() {
		if v := recover(); !returned && f.Failed != nil { // those who do not ask have the number
			f.Failed(c.name, v)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.calls, c)
		close(c.done)
		if !returned {
			f.failed++
		}
	}()
	call()
	returned = true
}

// Left returns the calls that have not returned, one Work of kind [lastcall.WorkCall]
// per name, ordered by name.
func (f *Calls) Left() []lastcall.Work {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []lastcall.Work
	for c := range f.calls {
		i := slices.IndexFunc(all, func(w lastcall.Work) bool { return w.Name == c.name })
		if i < 0 {
			i = len(all)
			all = append(all, lastcall.Work{Kind: lastcall.WorkCall, Name: c.name, Oldest: c.began})
		}
		all[i].Running++
		if c.began.Before(all[i].Oldest) {
			all[i].Oldest = c.began
		}
	}
	slices.SortFunc(all, func(a, b lastcall.Work) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Await blocks until no call is running, or for d.
func (f *Calls) Await(d time.Duration) {
	limit := time.NewTimer(d)
	defer limit.Stop()
	for {
		c := f.any()
		if c == nil {
			return
		}
		select {
		case <-c.done:
		case <-limit.C:
			return
		}
	}
}

// Until waits for end to be closed, and from when done is closed for d at most.
func Until(end, done <-chan struct{}, d time.Duration) {
	select {
	case <-end:
	case <-done:
		Within(end, d)
	}
}

// IsClosed reports whether a channel on which nothing is sent was closed.
func IsClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Within waits for a channel to be closed, for d at most, and reports whether it is.
func Within(done <-chan struct{}, d time.Duration) bool { return Either(done, nil, d) }

// Either waits for one of two channels to be closed, for d at most, and reports whether one is.
func Either(a, b <-chan struct{}, d time.Duration) bool {
	if IsClosed(a) || IsClosed(b) {
		return true
	}
	limit := time.NewTimer(d)
	defer limit.Stop()
	select {
	case <-a:
	case <-b:
	case <-limit.C:
		return false
	}
	return true
}

// any returns a call that is running, or nil.
func (f *Calls) any() *running {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.calls {
		return c
	}
	return nil
}

// Failures returns how many calls have panicked or ended their goroutine.
func (f *Calls) Failures() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}
