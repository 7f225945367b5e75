package controller

import (
	"context"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/internal/stacks"
	"github.com/lastcall-go/lastcall/report"
)

// manyGoroutines is with how many goroutines a look at a force would delay Stop: each of them
// writes down its own stack when it runs, and all of them run as they are cancelled.
const manyGoroutines = 1000

// sight is what the loop knows of where goroutines stand. Looking is done on a goroutine of
// its own, for which nothing waits.
type sight struct {
	looking bool
	again   bool           // to look once more when the present look is over
	leaks   bool           // and to have the runtime look for goroutines that never come back
	known   []report.Stack // of each name what was found last
}

// look begins a look at where goroutines stand. The loop takes in later what that has found.
func (r *run) look(leaks bool) { r.lookIf(leaks, func() bool { return true }) }

// lookIfBusy begins a look that waits for n calls of the function that it returns, on any
// goroutines. The look takes place as soon as one of these calls has true, or if not all of
// them have come within grace, or within half of the time to the deadline if that is less. With
// nothing in flight there is nothing to name, and a look costs more than Stop.
func (r *run) lookIfBusy(n int) (busy func(bool)) {
	answers := make(chan bool, n)
	most := min(grace, time.Until(r.deadline)/2)
	r.lookIf(false, func() bool {
		limit := time.NewTimer(most)
		defer limit.Stop()
		for range n {
			select {
			case is := <-answers:
				if is {
					return true
				}
			case <-limit.C:
				return true
			}
		}
		return false
	})
	return func(is bool) { answers <- is }
}

// lookIf begins a look that takes place if a function, which returns soon, returns true. At the
// deadline it begins none: Run returns, and would not hear what the look has found.
func (r *run) lookIf(leaks bool, wanted func() bool) {
	v := &r.sight
	if r.config.noStacks || !r.deadline.IsZero() && !time.Now().Before(r.deadline) {
		return
	}
	v.leaks = v.leaks || leaks
	if v.looking {
		v.again = true
		return
	}
	v.looking = true
	leaks, v.leaks = v.leaks, false
	r.beside(func() {
		if !wanted() {
			r.inbox.put(func() { r.see(nil, true) })
			return
		}
		all, _ := stacks.Take()    // without it the report names what hangs without the line
		found := slices.Clone(all) // the loop writes into what it is given
		over := !leaks || len(all) == 0
		r.inbox.put(func() { r.see(found, over) })
		if over {
			return
		}
		lost, _ := takeLeaked() // a garbage collection: it may take a while
		for i, s := range all {
			all[i].Leaked = slices.ContainsFunc(lost, s.SamePlace)
		}
		r.inbox.put(func() { r.see(all, true) })
	})
}

// see takes in what a look has found, and whether it is over.
func (r *run) see(found []stacks.Stack, over bool) {
	v := &r.sight
	v.looking = !over
	for i, s := range found { // what was lost is lost
		found[i].Leaked = s.Leaked || slices.ContainsFunc(v.known, func(old report.Stack) bool {
			return old.Leaked && s.SamePlace(stacks.Stack(old))
		})
	}
	v.known = slices.DeleteFunc(v.known, func(old report.Stack) bool {
		return slices.ContainsFunc(found, func(s stacks.Stack) bool { return s.Of == old.Of })
	})
	for _, s := range found {
		v.known = append(v.known, report.Stack(s))
	}
	for _, c := range r.calls {
		if c.reported && !c.over {
			c.step.Stacks = r.stacksOf(c.step.Subject())
		}
	}
	if v.again && over {
		v.again = false
		r.look(false)
	}
}

// stacksOf returns where the goroutines of a call or of some work stood when they were
// looked at last.
func (r *run) stacksOf(what string) (all []report.Stack) {
	for _, s := range r.sight.known {
		if s.Of == what {
			all = append(all, s)
		}
	}
	return all
}

// stacksOfWork returns the same of all of some work that has one.
func (r *run) stacksOfWork(work []lastcall.Work, has func(lastcall.Work) bool) (all []report.Stack) {
	known := map[string]bool{} // of what all is
	for _, w := range work {
		if !has(w) {
			continue
		}
		found := slices.DeleteFunc(report.StacksOf(r.sight.known, w), func(s report.Stack) bool { return known[s.Of] })
		for _, s := range found {
			known[s.Of] = true
		}
		all = append(all, found...)
	}
	return all
}

// runs reports whether some of the work runs.
func runs(w lastcall.Work) bool { return w.Running > 0 }

// interrupted reports whether it runs and is not a call of the server's own: it may be
// closing connections just now.
func interrupted(w lastcall.Work) bool { return runs(w) && w.Kind != lastcall.WorkCall }

// stacksFor returns what a report has of the stacks.
func (r *run) stacksFor(made report.Report) []report.Stack {
	all := r.stacksOfWork(made.Work, func(w lastcall.Work) bool { return w.Running+w.Cancelled+w.Cut > 0 })
	for _, s := range made.Steps {
		all = append(all, s.Stacks...)
	}
	for _, l := range made.Deliveries {
		if l.Busy {
			all = append(all, r.stacksOf(report.Step{Op: l.Op, Name: l.Name}.Subject())...)
		}
	}
	return all
}

// lookAtObservers begins a look if an observer, or the logger, is at one step for longer
// than that should take.
func (r *run) lookAtObservers() {
	if slices.ContainsFunc(r.record.feeds, func(f *feed) bool { return f.stuck() >= grace }) {
		r.look(false)
	}
}

// tellOfObservers tells the others of observers and logs that do not come back from a step.
// It waits a moment for the look that has their lines of code.
func (r *run) tellOfObservers() {
	hung := slices.DeleteFunc(slices.Clone(r.record.feeds), func(f *feed) bool { return f.stuck() < toldTime })
	if len(hung) == 0 {
		return
	}
	r.await(func() bool { return !r.sight.looking }, within(grace, r.share(2)))
	for _, f := range hung {
		what := report.Step{Op: f.op, Name: f.name}.Subject()
		s := r.newStep(report.KindWarning, what)
		s.Text, s.Stacks = what+" has not returned for "+report.Round(f.stuck()), r.stacksOf(what)
		r.tell(*s)
	}
}

// nextLook returns when to look at calls that began at an instant and may last until another
// one: when half of their time is over, or a moment before its end, so that what a line says then
// has the line of code. Zero if the last look was later.
func nextLook(start, last, end time.Time) time.Time {
	if at := before(start, end, 2); at.After(last) {
		return at
	}
	return time.Time{}
}

// labelled returns the context of a call into user code, which labels its goroutine.
func (r *run) labelled(op report.Op, name string) context.Context {
	return stacks.Of(r.base, report.Step{Op: op, Name: name}.Subject())
}

// takeLeaked is stacks.TakeLeaked outside of bubbles of testing/synctest. A goroutine that the
// runtime has found to be lost is not durably blocked any more, and the bubble's time would
// stand still.
func takeLeaked() ([]stacks.Stack, error) {
	if inBubble() {
		return nil, nil
	}
	return stacks.TakeLeaked()
}
