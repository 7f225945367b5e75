package proptest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/fsm"
)

// moment is for how long at most Run waits for what usually takes no time: a question to
// a server, a call that has just begun. while is for how long it waits for an observer's
// step, and for the text of the cause; answers, for what servers say at the end.
const (
	moment  = unit / 4
	while   = 2 * unit
	answers = 6 * unit
)

// Bounded is G1: Run returns by the deadline, which a force and Shorten bring forward.
func Bounded(r *Run) error {
	if d := r.deadline(r.Ended); r.Ended.After(d) {
		return fmt.Errorf("Run returned %v after the deadline", r.Ended.Sub(d))
	}
	return nil
}

// Known is G1: readers are told the timer and the deadline that the budget promises. Where
// Shorten has brought the deadline forward, the timer is never later than it was, and
// leaves something of the time to what comes after it.
func Known(r *Run) error {
	var last time.Time
	for _, s := range r.Samples {
		if s.At.Equal(r.trigger) || r.tie(s.At) || s.At.Equal(r.Ended) { // before or after that
			continue
		}
		if !last.IsZero() && s.Timer.After(last) {
			return fmt.Errorf("at %s the timer was moved back, from %s to %s", r.since(s.At), r.since(last), r.since(s.Timer))
		}
		last = s.Timer
		if s.At.After(r.trigger) && r.shortened(s.At) {
			if d := r.deadline(s.At); !s.Deadline.Equal(d) || s.Timer.After(r.natural) || !s.Timer.Before(d) && s.At.Before(s.Timer) {
				return fmt.Errorf("at %s, after Shorten, a reader was told of the deadline %s and the timer %s, want %s", r.since(s.At), r.since(s.Deadline), r.since(s.Timer), r.since(d))
			}
			continue
		}
		var deadline, timer time.Time
		if s.At.After(r.trigger) {
			deadline, timer = r.deadline(s.At), r.natural
			if r.forced(s.At) {
				timer = r.timer
			}
		}
		if !s.Deadline.Equal(deadline) || !s.Timer.Equal(timer) {
			return fmt.Errorf("at %s a reader was told of the deadline %s and the timer %s, want %s and %s", r.since(s.At), r.since(s.Deadline), r.since(s.Timer), r.since(deadline), r.since(timer))
		}
	}
	return nil
}

// AtOnce is G4: what has to begin in an instant begins in that instant.
func AtOnce(r *Run) error {
	for _, s := range r.all(opAnnounce, opAnnouncer) {
		if !s.In.Equal(r.trigger) {
			return fmt.Errorf("%s %s began at %s, not with the trigger", s.Op, s.Name, r.since(s.In))
		}
	}
	for _, s := range r.all(opWork) {
		if want := r.claimEnds(s.Name); r.out(s).After(want) && !s.Claim.Equal(want) {
			return fmt.Errorf("the claim of %s ended at %s, not at %s", s.Name, r.since(s.Claim), r.since(want))
		}
		if r.expired && r.out(s).After(r.expiry) && !s.Told.Equal(r.expiry) {
			return fmt.Errorf("the work of %s was told to end at %s, not at the timer, %s", s.Name, r.since(s.Told), r.since(r.expiry))
		}
	}
	for state, want := range map[fsm.State]time.Time{fsm.GracefulShutdown: r.drained, fsm.TimerExpired: r.expiry, fsm.Terminated: r.terminated} {
		if at := r.entered(state); !at.Equal(want) && !at.Equal(r.Ended) {
			return fmt.Errorf("%s was entered at %s, not at %s", state, r.since(at), r.since(want))
		}
	}
	for _, s := range r.servers(false) {
		want := r.released(s.After)
		if gs := r.graceful(s.Name); !gs.In.Equal(want) {
			return fmt.Errorf("GracefulStop of %s did not begin at %s", s.Name, r.since(want))
		}
	}
	return forceAtOnce(r)
}

// released returns when what stands After others is told to end: when those have ended, in
// the drain, or at the timer.
func (r *Run) released(after []string) time.Time {
	at := r.drained
	for _, front := range after {
		at = later(at, earlier(r.expiry, r.ended(front)))
	}
	return at
}

// claimEnds returns when the claim of a worker is to end.
func (r *Run) claimEnds(worker string) time.Time {
	if after := r.worker(worker).After; len(after) > 0 {
		return r.released(after)
	}
	return r.trigger
}

// forceAtOnce: nothing stands between the calls of a forced end but the calls themselves,
// and a moment for what they have ended.
func forceAtOnce(r *Run) error {
	begin := r.expiry
	for _, o := range []op{opCancel, opStop, opCut} {
		calls := slices.DeleteFunc(r.all(o), func(s *Span) bool { return r.server(s.Name).Last })
		if len(calls) == 0 {
			continue
		}
		first := calls[0].In
		if first.After(begin.Add(moment)) || o == opCancel && !first.Equal(begin) {
			return fmt.Errorf("%s began at %s, when there was nothing more to wait for since %s", o, r.since(first), r.since(begin))
		}
		for _, s := range calls {
			if !s.In.Equal(first) && (o != opCancel || s.In.After(r.innerCancelled(s.Name))) {
				return fmt.Errorf("%s of %s began at %s, that of another one at %s", o, s.Name, r.since(s.In), r.since(first))
			}
			begin = later(begin, r.over(s))
		}
		if begin.After(r.terminated) { // one hung for its share of the time, and nothing tells us of its end
			return nil
		}
	}
	return nil
}

// innerCancelled returns when the last Cancel of the servers that stand After another one,
// also by way of others, was over.
func (r *Run) innerCancelled(front string) (at time.Time) {
	for _, s := range r.servers(false) {
		if !r.standsAfter(s.After, front) {
			continue
		}
		for _, c := range r.all(opCancel) {
			if c.Name == s.Name {
				at = later(at, r.over(c))
			}
		}
	}
	return at
}

func (r *Run) standsAfter(after []string, front string) bool {
	return slices.ContainsFunc(after, func(name string) bool {
		if slices.ContainsFunc(r.Setup.Workers, func(w Worker) bool { return w.Name == name }) {
			return r.standsAfter(r.worker(name).After, front)
		}
		return name == front || r.standsAfter(r.server(name).After, front)
	})
}

// NeverIdle is G4: between the trigger and the end there is always something that the
// shutdown waits for: user code that has been called and has not come back, or settle.
func NeverIdle(r *Run) error {
	type stretch struct{ from, to time.Time }
	var busy []stretch
	cover := func(from, to time.Time) { busy = append(busy, stretch{from, to}) }
	if r.settles() {
		cover(r.announced(), r.drained)
	}
	for _, s := range r.all(opAnnounce, opAnnouncer, opClose, opFlush) {
		cover(s.In, r.over(s))
	}
	for _, s := range r.all(opWork, opServe, opGracefulStop, opCancel, opStop, opCut) {
		until := r.terminated
		if s.Op != opWork && r.server(s.Name).Last {
			cover(later(s.In, r.graceful(s.Name).In), r.out(s))
			continue
		}
		if s.Op == opGracefulStop && (s.How == Panicked || s.How == Exited) { // it has not returned
			cover(s.In, earlier(until, r.expiry))
		}
		cover(later(s.In, r.drained), earlier(until, r.out(s)))
		if s.Op == opCancel && !s.Told.IsZero() { // it has come to its end
			cover(s.Told, earlier(r.out(s), s.Told.Add(moment)))
		}
	}
	for _, s := range r.all(opLog) {
		cover(s.In, r.out(s))
	}
	for _, s := range r.all(opObserve) { // they are told before what they keep is flushed
		cover(s.In, earlier(r.out(s), r.flushed()))
	}
	for _, s := range r.all(append(calls(), opLastArrival)...) {
		cover(s.In, earlier(r.out(s), s.In.Add(moment)))
	}
	for _, s := range r.all(opInFlight, opNotes) {
		cover(s.In, earlier(r.out(s), s.In.Add(answers)))
	}
	for _, s := range r.all(opObserve, opText) { // what they keep, and why it all began, should be known at the end
		cover(s.In, earlier(r.out(s), s.In.Add(while)))
	}
	slices.SortFunc(busy, func(a, b stretch) int { return a.from.Compare(b.from) })
	at := r.trigger
	for _, s := range busy {
		if s.from.After(at) && at.Before(r.Ended) {
			return fmt.Errorf("from %s to %s nothing ran that the shutdown could wait for", r.since(at), r.since(s.from))
		}
		at = later(at, s.to)
	}
	if at.Before(r.Ended) {
		return fmt.Errorf("from %s to the end, %s, nothing ran that the shutdown could wait for", r.since(at), r.since(r.Ended))
	}
	return nil
}

// flushed returns when the first flusher began, or the first server that stops last was
// told to; the end if there is neither.
func (r *Run) flushed() time.Time {
	at := r.Ended
	for _, s := range r.all(opFlush, opGracefulStop) {
		if s.Op == opFlush || r.server(s.Name).Last {
			at = earlier(at, s.In)
		}
	}
	return at
}

// announced returns when the last one who was told of the shutdown in phase announce had
// come back or was told to end.
func (r *Run) announced() time.Time {
	at := r.trigger
	for _, s := range r.all(opAnnounce, opAnnouncer) {
		at = later(at, r.over(s))
	}
	return earlier(at, later(r.trigger, r.timer))
}

// settles reports whether there may be a settle.
func (r *Run) settles() bool {
	return r.Setup.Budget.Settle > 0 && slices.ContainsFunc(r.heard, func(h Heard) bool { return h.Step.Phase == lastcall.PhaseServe })
}

// serving returns when the last server had ended to serve, or never.
func (r *Run) serving() (last time.Time) {
	for _, s := range r.servers(false) {
		switch serve := r.first(opServe, s.Name); {
		case serve == nil || serve.Value == elsewhere:
			if serve != nil || s.Bare && s.Serve == nil {
				return r.never()
			}
		default:
			last = later(last, r.out(serve))
		}
	}
	return last
}

// Settles is G4: settle ends when its time is over, the timer fires, a force comes, no
// server serves or no work has come for Quiet; then, and not before.
func Settles(r *Run) error {
	begin, b, serving := r.announced(), r.Setup.Budget, r.serving()
	if !r.settles() {
		want := report.SettleUnplanned
		if b.Settle > 0 {
			want = report.SettleNotReady
		}
		if !r.drained.Equal(begin) || r.Report.Settle != want {
			return fmt.Errorf("the drain began at %s, want %s: %s", r.since(r.drained), r.since(begin), r.Report.Settle)
		}
		return nil
	}
	ends := map[report.SettleEnd]time.Time{
		report.SettleTime:   begin.Add(b.Settle),
		report.SettleTimer:  r.natural,
		report.SettleNobody: serving,
	}
	if !r.force.IsZero() {
		ends[report.SettleForced] = r.force
	}
	if r.shortened(r.drained) { // by how much is for readers of the timer, see Known
		delete(ends, report.SettleTimer)
		delete(ends, report.SettleTime)
		if latest := later(begin, earlier(begin.Add(b.Settle), r.timer)); r.drained.After(latest) {
			return fmt.Errorf("the drain began at %s, although settle was shortened, and could last until %s", r.since(r.drained), r.since(latest))
		}
	}
	for why, at := range ends {
		if r.drained.After(later(at, begin)) {
			return fmt.Errorf("the drain began at %s, but settle was over at %s: %s", r.since(r.drained), r.since(at), why)
		}
	}
	if at, known := ends[r.Report.Settle]; known {
		if !r.drained.Equal(later(at, begin)) {
			return fmt.Errorf("settle ended at %s, which is not %q, at %s", r.since(r.drained), r.Report.Settle, r.since(at))
		}
	} else if !r.shortened(r.drained) && (r.Report.Settle != report.SettleQuiet || b.Quiet == 0) {
		return fmt.Errorf("settle ended because of %q", r.Report.Settle)
	}
	if b.Quiet > 0 {
		return quiet(r, begin)
	}
	return nil
}

// quiet: settle ends when no work has come for Quiet, and not before MinSettle.
func quiet(r *Run, begin time.Time) error {
	b := r.Setup.Budget
	questions := r.all(opLastArrival)
	slow := slices.ContainsFunc(questions, func(s *Span) bool { return s.How != Returned || !s.Out.Equal(s.In) })
	came := slices.DeleteFunc(slices.Clone(r.arrivals), func(at time.Time) bool { return at.Before(r.trigger) || at.After(r.drained) })
	slices.SortFunc(came, time.Time.Compare)
	until := begin.Add(max(b.Quiet, b.MinSettle)) // at the latest
	for _, at := range came {
		if !at.After(until) {
			until = later(until, at.Add(b.Quiet))
		}
	}
	if r.drained.After(until) && !slow {
		return fmt.Errorf("the drain began at %s, when all had been quiet at %s", r.since(r.drained), r.since(until))
	}
	if r.Report.Settle == report.SettleQuiet {
		asked := questions[len(questions)-1].In
		if asked.Before(begin.Add(max(b.Quiet, b.MinSettle))) {
			return fmt.Errorf("settle ended at %s as it was quiet, before its time", r.since(r.drained))
		}
		for _, at := range came {
			if at.Before(asked) && at.Add(b.Quiet).After(asked) {
				return fmt.Errorf("settle ended at %s as it was quiet, but work had come at %s", r.since(r.drained), r.since(at))
			}
		}
	}
	rounds := map[string]int{}
	for _, s := range questions {
		if rounds[s.Name]++; rounds[s.Name] > len(came)+1 {
			return fmt.Errorf("%s was asked again and again when work last came", s.Name)
		}
		if s.In.After(r.drained) || s.In.Before(begin) || r.server(s.Name).Last {
			return errors.New("a server was asked when work last came, outside of settle")
		}
	}
	return nil
}
