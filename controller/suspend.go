package controller

import (
	"fmt"
	"time"

	"github.com/lastcall-go/lastcall/report"
)

const (
	// stall is how much later than its timer the loop must wake for the process to count
	// as suspended: more than a busy machine makes of it.
	stall = 500 * time.Millisecond
	// resumeTime is how long a process that was suspended until its deadline, or nearly so,
	// may take for the rest of the shutdown.
	resumeTime = time.Second
)

// noticeSuspension notices that the process did not run when the loop's timer should have
// woken it, and then moves the deadline to resumeTime from now, if it would be sooner:
// nothing that is left to do would have any time otherwise. Steps that run get back the
// time in which they could not.
func (r *run) noticeSuspension() {
	late := time.Since(r.alarmAt)
	if r.alarmAt.IsZero() || late <= stall {
		return
	}
	r.alarmAt = time.Time{}
	r.resume(late, r.asleep)
}

// stoppedSince notices that the process has not run since the loop woke: it may be stopped
// while the loop is at work, too. It reports whether there is more time now.
func (r *run) stoppedSince(awake time.Time) bool {
	late := time.Since(awake)
	return late > stall && r.resume(late, awake)
}

// resume gives the rest of the shutdown its time, after a process that was well at an instant
// woke so late. It reports whether it did; before the trigger nothing is at stake.
func (r *run) resume(late time.Duration, well time.Time) bool {
	if r.at.IsZero() {
		return false
	}
	now := time.Now()
	r.suspended = max(r.suspended, late)
	if resumed := now.Add(resumeTime); r.deadline.Before(resumed) {
		r.setTimes(r.timerAt, resumed)
	}
	lost := now.Sub(well)         // at most
	for _, c := range r.endings { // by as much for all: their order stays
		c.ends = c.ends.Add(lost)
		if !c.due.IsZero() {
			c.due = c.due.Add(lost)
		}
	}
	for _, c := range r.calls { // what takes next to no time has had none: an answer for the summary, too
		if !c.told {
			c.since = c.since.Add(lost)
		}
	}
	s := r.newStep(report.KindWarning, "suspended")
	s.Text = fmt.Sprintf("the process was suspended: it woke %s after its timer", report.Round(late))
	r.tell(*s)
	return true
}
