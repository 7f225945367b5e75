package lastcall_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/fsm"
)

// goAwayTime is for how long net/http keeps a connection of HTTP/2 after its GOAWAY that
// is idle, where it can't be told apart from one on which a request is coming. Over TCP the
// adapter ends that earlier; a connection in memory has no half-close.
const goAwayTime = time.Second

// mixOracle knows what must have become of a process.
type mixOracle struct {
	mix
	w          *mixWorld
	results    []mixResult
	conns      [][]*memoryConn // by server
	toils      []mixToil
	visits     []visited
	ready      []time.Time
	report     report.Report
	begun, end time.Time

	aliveAbove, aliveBelow int // goroutines of the controller, and of what is below it

	trigger, force           time.Time // force: zero if there was none
	natural, timer, deadline time.Time // natural: when the timer would fire without a force
	graceful, over           time.Time // when GRACEFUL_SHUTDOWN and TERMINATED were entered
	expiry                   time.Time // when the timer took effect: never before graceful
	served, expired          bool
	stops                    []report.Step // the GracefulStop of each server
}

func (o *mixOracle) String() string {
	at := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return t.Sub(o.begun).String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%+v\n", o.budget)
	for _, s := range o.servers {
		fmt.Fprintf(&b, "%+v\n", s)
	}
	for i, r := range o.results {
		fmt.Fprintf(&b, "job %d %+v\n\thandler %s to %s (%v), client done %s, gone %s: %d %q close %v, %v; task %s to %s: %v\n", i, r.mixJob,
			at(r.begun), at(r.back), r.cause, at(r.done), at(r.gone), r.status, r.answer, r.closes, r.err, at(r.taskBegun), at(r.taskBack), r.taskErr)
	}
	for i, conns := range o.conns {
		for _, c := range conns {
			fmt.Fprintf(&b, "connection to %s over %s: dialled %s, heard %s, closed %s\n", o.servers[i].name, c.over, at(c.dialled), at(c.heard), at(c.closed))
		}
	}
	for i, w := range o.toils {
		fmt.Fprintf(&b, "worker %+v: %s to %s\n", o.workers[i], at(w.begun), at(w.back))
	}
	for _, v := range o.visits {
		fmt.Fprintf(&b, "%s %+v: asked %s, done %s: %q, %v\n", v.who, v.mixVisit, at(v.asked), at(v.done), v.answer, v.err)
	}
	for _, n := range o.w.notes {
		fmt.Fprintf(&b, "%10s %s: %s\n", at(n.at), n.who, n.what)
	}
	fmt.Fprintf(&b, "closers %v together %v, flushers %v, asks %+v\n", o.closers, o.together, o.flushers, o.asks)
	for _, s := range o.report.Steps {
		fmt.Fprintf(&b, "%10s +%v %v\n", at(s.Start), s.Duration, s)
	}
	fmt.Fprintf(&b, "%10s end\n%v", at(o.end), o.report)
	return b.String()
}

func (o *mixOracle) check(t *rapid.T) {
	o.checkBounded(t)
	o.readSteps(t)
	o.checkSettle(t)
	o.checkReady(t)
	for i := range o.servers {
		o.checkStop(t, i)
	}
	o.checkConns(t)
	for i := range o.results {
		o.checkJob(t, &o.results[i])
		o.checkTask(t, &o.results[i])
	}
	o.checkWorkers(t)
	o.checkPath(t)
	o.checkOver(t)
	o.checkEnd(t)
	for i := range o.servers {
		o.checkWork(t, i)
	}
	o.checkLeft(t)
}

// after is a time that never comes.
func (o *mixOracle) after() time.Time { return o.end.Add(1 << 50) }

// orAfter returns a time, or one that never comes if that is zero.
func (o *mixOracle) orAfter(at time.Time) time.Time {
	if at.IsZero() {
		return o.after()
	}
	return at
}

// checkBounded is G1, and G6 for the trigger.
func (o *mixOracle) checkBounded(t *rapid.T) {
	o.w.mu.Lock()
	o.trigger = slices.MinFunc(o.w.triggers, time.Time.Compare)
	if len(o.w.forces) > 0 {
		o.force = slices.MinFunc(o.w.forces, time.Time.Compare)
	}
	o.w.mu.Unlock()
	o.deadline = o.trigger.Add(o.budget.Total)
	o.natural = o.deadline.Add(-o.budget.Reserve)
	o.timer = o.natural
	if !o.force.IsZero() {
		o.force = later(o.force, o.trigger)
		o.timer = earlier(o.timer, o.force)
		if o.force.Before(o.end) {
			o.deadline = earlier(o.deadline, o.force.Add(o.budget.Reserve))
		}
	}
	if o.end.After(o.deadline) {
		t.Fatalf("G1: Run returned %v after the deadline", o.end.Sub(o.deadline))
	}
	if !o.report.Triggered.Equal(o.trigger) {
		t.Fatalf("G6: the report's trigger is %v after the first one", o.report.Triggered.Sub(o.trigger))
	}
	if !o.report.Deadline.Equal(o.deadline) && !o.force.Equal(o.end) {
		t.Fatalf("G1: the report's deadline is %v after the trigger, want %v", o.report.Deadline.Sub(o.trigger), o.deadline.Sub(o.trigger))
	}
}

// readSteps finds the report's instants, and that the phases are in order.
func (o *mixOracle) readSteps(t *rapid.T) {
	o.stops = make([]report.Step, len(o.servers))
	var last report.Step
	for _, s := range o.report.Steps {
		switch {
		case s.Kind == report.KindTransition && s.State == fsm.GracefulShutdown:
			o.graceful = s.Start
		case s.Kind == report.KindTransition && s.State == fsm.Terminated:
			o.over = s.Start
		case s.Kind == report.KindPhase:
			o.served = o.served || s.Phase == lastcall.PhaseServe
			if s.Phase <= last.Phase || s.Start.Before(last.Start) {
				t.Fatalf("G2: phase %v came after phase %v", s.Phase, last.Phase)
			}
			last = s
		case s.Op == report.OpGracefulStop && s.Name != adminName:
			i := slices.IndexFunc(o.servers, func(m mixServer) bool { return m.name == s.Name })
			if o.stops[i].Op != "" {
				t.Fatalf("G5: GracefulStop of %s was called twice", s.Name)
			}
			o.stops[i] = s
		}
	}
	o.expiry = later(o.graceful, o.timer)
	o.expired = slices.Contains(o.report.Path, fsm.TimerExpired)
	if o.graceful.IsZero() || o.over.IsZero() {
		t.Fatalf("G7: the path is %v", o.report.Path)
	}
}

// phase returns a phase that was entered.
func (o *mixOracle) phase(p lastcall.Phase) (report.Step, bool) {
	for _, s := range o.report.Steps {
		if s.Kind == report.KindPhase && s.Phase == p {
			return s, true
		}
	}
	return report.Step{}, false
}

// checkSettle checks when the drain began: G4 for phases announce and settle.
func (o *mixOracle) checkSettle(t *rapid.T) {
	latest := o.trigger
	if o.served && len(o.servers) > 0 {
		latest = earlier(o.trigger.Add(o.budget.Settle), o.timer)
	}
	earliest := latest
	if o.budget.Quiet > 0 {
		earliest, latest = earlier(latest, o.quietFrom(true)), earlier(latest, o.quietFrom(false))
	}
	if o.graceful.Before(earliest) || o.graceful.After(latest) {
		t.Fatalf("G4: the drain began %v after the trigger, want %v to %v", o.graceful.Sub(o.trigger), earliest.Sub(o.trigger), latest.Sub(o.trigger))
	}
}

// quietFrom returns when no work had come for a time. What comes in the instant in which
// it might be quiet may be seen or not: lucky is not to see it.
func (o *mixOracle) quietFrom(lucky bool) time.Time {
	var came []time.Time
	add := func(at time.Time) {
		if !at.Before(o.trigger) {
			came = append(came, at)
		}
	}
	for _, r := range o.results {
		if !r.begun.IsZero() && o.servers[r.server].kind != rawKind {
			add(r.begun)
		}
	}
	for i, conns := range o.conns {
		for _, c := range conns {
			if o.servers[i].kind == rawKind {
				add(c.dialled)
				add(c.heard)
			}
		}
	}
	slices.SortFunc(came, time.Time.Compare)
	at := o.trigger.Add(max(o.budget.Quiet, o.budget.MinSettle))
	for _, c := range came {
		if c.Before(at) || c.Equal(at) && !lucky {
			at = later(at, c.Add(o.budget.Quiet))
		}
	}
	return at
}

// checkReady: nobody is told to come once the shutdown was triggered.
func (o *mixOracle) checkReady(t *rapid.T) {
	for _, at := range o.ready {
		if at.After(o.trigger) {
			t.Fatalf("G7: ready %v after the trigger", at.Sub(o.trigger))
		}
	}
	for _, v := range o.visits {
		if v.err != nil {
			continue
		}
		if v.answer == "ready" && v.asked.After(o.trigger) || v.answer == "not ready" && v.asked.Before(o.trigger) && v.asked.After(o.begun) {
			t.Fatalf("G7: %s was told %q %v after the trigger", v.who, v.answer, v.asked.Sub(o.trigger))
		}
	}
}

// ended returns when a server had ended, by the report: never later than the timer.
func (o *mixOracle) ended(server string) time.Time {
	at := o.graceful
	for _, s := range o.report.Steps {
		if s.Name == server && (s.Op == report.OpGracefulStop || s.Op == report.OpServe) {
			if s.Result != report.ResultOK {
				return o.expiry
			}
			at = later(at, s.Start.Add(s.Duration))
		}
	}
	return earlier(at, o.expiry)
}

// stopped returns when GracefulStop of a server began.
func (o *mixOracle) stopped(i int) time.Time { return o.stops[i].Start }

// lastEnd returns when the last thing of a server ended that its GracefulStop waits for.
func (o *mixOracle) lastEnd(i int) time.Time {
	at := o.stopped(i)
	for _, r := range o.results {
		if r.server == i && !r.begun.IsZero() {
			at = later(at, o.orAfter(r.back))
		}
		if o.servers[i].kind == taskKind && !r.taskBegun.IsZero() {
			at = later(at, o.orAfter(r.taskBack))
		}
	}
	for _, c := range o.conns[i] {
		at = later(at, o.orAfter(c.closed))
	}
	return at
}

// checkStop: a server is stopped when those that it is behind have ended, or the timer
// fires; and that takes until its last work has ended, and no longer.
func (o *mixOracle) checkStop(t *rapid.T, i int) {
	s := o.servers[i]
	want := o.graceful
	for _, front := range s.behind {
		want = later(want, o.ended(front))
	}
	if o.stops[i].Op == "" {
		t.Fatalf("G5: GracefulStop of %s was never called", s.name)
	}
	if !o.stopped(i).Equal(want) {
		t.Fatalf("G4: GracefulStop of %s began %v after the drain, want %v", s.name, o.stopped(i).Sub(o.graceful), want.Sub(o.graceful))
	}
	last := o.lastEnd(i)
	returned := o.stops[i].Start.Add(o.stops[i].Duration)
	if last.Before(o.expiry) && (o.stops[i].Result != report.ResultOK || !returned.Equal(last)) {
		t.Fatalf("G4: GracefulStop of %s returned %v after the drain began, want %v: %v", s.name, returned.Sub(o.graceful), last.Sub(o.graceful), o.stops[i])
	}
	if last.After(o.expiry) && o.stops[i].Result == report.ResultOK && returned.Before(o.expiry) {
		t.Fatalf("G3: GracefulStop of %s returned %v after the drain began, but the last end came after %v", s.name, returned.Sub(o.graceful), last.Sub(o.graceful))
	}
}

// half returns half of the time to the timer when GracefulStop of a server began.
func (o *mixOracle) half(i int) time.Duration {
	at := o.natural
	if !o.force.IsZero() && !o.force.After(o.stopped(i)) {
		at = o.force
	}
	return max(0, at.Sub(o.stopped(i))) / 2
}

// silentUntil returns when a connection is closed on which nothing has come.
func (o *mixOracle) silentUntil(i int, dialled time.Time) time.Time {
	gs, s := o.stopped(i), o.servers[i]
	if s.kind == rawKind || s.kind == httpKind && gs.Sub(dialled) >= s.shaking {
		return gs
	}
	return earlier(gs.Add(min(s.shaking, o.half(i))), later(gs, o.timer))
}

// checkConns: no connection is closed before the drain, and each when the last work on
// it has ended.
func (o *mixOracle) checkConns(t *rapid.T) {
	for i, conns := range o.conns {
		s, gs := o.servers[i], o.stopped(i)
		for _, c := range conns {
			closed := o.orAfter(c.closed)
			tell := func(what string) {
				t.Fatalf("%s: a connection to %s over %s, dialled %v after the drain began, heard %v, was closed %v after GracefulStop", what,
					s.name, c.over, c.dialled.Sub(gs), !c.heard.IsZero(), closed.Sub(gs))
			}
			if c.over == overH2C && closed.Equal(c.dialled) {
				continue // its client had two at a time, and needed one
			}
			if slices.ContainsFunc(o.results, func(r mixResult) bool {
				leaves := r.kind == hijack || r.kind == held || r.over == c.over && s.kind == httpKind && c.over != overH2C && !r.begun.IsZero() && !r.header().Before(o.trigger)
				return leaves && r.server == i && closed.Equal(r.back)
			}) {
				continue // its handler has closed it, or its answer told the client to go
			}
			if closed.Before(gs) {
				tell("G3")
			}
			if !closed.Before(o.expiry) || !c.dialled.Before(gs) {
				continue // it was closed by force, or came in the same instant
			}
			// The ends of what may have been on it.
			ends := []time.Time{gs}
			for _, r := range o.results {
				if r.server == i && !r.begun.IsZero() && !r.back.IsZero() && r.back.After(gs) &&
					(r.over == c.over || r.over == inside && c.over == overGRPC) {
					ends = append(ends, r.back)
				}
			}
			switch {
			case c.heard.IsZero():
				ends = []time.Time{o.silentUntil(i, c.dialled)}
			case s.kind == httpKind && c.heard.Equal(o.silentUntil(i, c.dialled)): // it may have been too late
				ends = append(ends, c.heard)
			case c.over == overGRPC: // as long as somebody is silent, clients are not told to go
				for _, other := range conns {
					if other.over == overConn && !other.dialled.After(gs) {
						ends = append(ends, other.closed)
					}
				}
			}
			lingers := func(end time.Time) bool {
				return c.over == overH2C && !closed.Before(end) && !closed.After(end.Add(goAwayTime))
			}
			if !slices.ContainsFunc(ends, closed.Equal) && !slices.ContainsFunc(ends, lingers) {
				tell("G4")
			}
		}
	}
}

// refusedFrom returns from when on a server takes no work any more.
func (o *mixOracle) refusedFrom(i int) time.Time {
	at := o.stopped(i)
	if o.servers[i].kind == httpKind && slices.ContainsFunc(o.conns[i], func(c *memoryConn) bool { return c.over == overConn && !c.dialled.After(at) }) {
		return later(at, o.silentUntil(i, at)) // clients of HTTP/2 are told to go when no request can be on its way on a new connection
	}
	if o.servers[i].kind == grpcKind {
		for _, c := range o.conns[i] { // clients are told to go when nobody is in his handshake
			if c.over == overConn && !c.dialled.After(at) {
				at = later(at, earlier(o.orAfter(c.closed), o.expiry))
			}
		}
	}
	return at
}

// checkJob checks what became of what a client asked for.
func (o *mixOracle) checkJob(t *rapid.T, r *mixResult) {
	kind, gs := o.servers[r.server].kind, o.stopped(r.server)
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s: %s over %s to %s, %v after the drain began", fmt.Sprintf(format, args...), r.kind, r.over, o.servers[r.server].name, o.begun.Add(r.at).Sub(o.graceful))
	}
	asked := o.begun.Add(r.at)
	if r.over == overConn {
		if asked.Before(gs) && o.served && r.conn == nil || asked.After(gs) && !errors.Is(r.err, errRefused) && asked.Before(o.end) {
			fail("G2: a connection was not treated as it should be: %v", r.err)
		}
		if r.conn == nil || !asked.Before(gs) {
			return
		}
		asked = asked.Add(r.speaks)
	}
	if r.over == overConn || r.kind == silent {
		o.checkStays(fail, r, asked)
		if r.kind == silent {
			return
		}
	}
	if !asked.Before(o.end) || kind == httpKind && r.over == overConn && asked.Equal(o.silentUntil(r.server, o.begun.Add(r.at))) {
		return // it is too late, or in the instant in which its connection is closed for its silence
	}
	until := o.refusedFrom(r.server)
	for _, c := range o.conns[r.server] { // a connection that was new may still be used for a while
		if kind == httpKind && !r.begun.IsZero() && c.over == r.over && c.heard.Equal(r.begun) && !c.dialled.After(gs) {
			until = later(until, o.silentUntil(r.server, c.dialled))
		}
	}
	switch {
	case r.over == inside && r.begun.IsZero():
		return
	case r.over == inside:
	case asked.Before(gs) && asked.Add(r.slow).Before(o.expiry) && o.served && !r.begun.Equal(asked.Add(r.slow)):
		fail("G3: it was asked before the drain and not accepted at once")
	case asked.After(until) && !r.begun.IsZero():
		fail("G2: it was accepted %v after the drain of the server began", r.begun.Sub(gs))
	}
	if r.begun.IsZero() {
		o.checkRefused(fail, r, asked)
		return
	}
	if r.kind == gateway && !o.served {
		return // the gRPC server may not have been started
	}
	back := o.orAfter(r.back)
	o.checkHandler(fail, r, back)
	switch {
	case back.Before(o.expiry):
		o.checkAnswer(fail, r, back)
	case back.After(o.expiry) && r.begun.Before(o.expiry) || back.Equal(o.expiry) && r.ownEnd(o).After(o.expiry) && r.begun.Before(o.expiry):
		o.checkCancelled(fail, r, back)
	}
}

type failer func(format string, args ...any)

// checkStays checks when a connection was closed whose client stays.
func (o *mixOracle) checkStays(fail failer, r *mixResult, asked time.Time) {
	if r.over != overConn {
		return
	}
	i := r.server
	gs, closed := o.stopped(i), o.orAfter(r.gone)
	var want time.Time
	switch {
	case r.kind == hijack && !r.begun.IsZero() || r.kind == held && !r.begun.IsZero():
		want = o.orAfter(r.back)
	case !r.begun.IsZero():
		back := o.orAfter(r.back)
		want = later(gs, back)
		if o.servers[i].kind == httpKind && (r.header().After(o.trigger) || r.header().Equal(o.trigger) && closed.Equal(back)) {
			want = back // from the announcement on answers tell the client to go
		}
	case r.slow > 0 && asked.Before(gs): // it has not asked all when the timer fires
		want = o.expiry
	default:
		want = o.silentUntil(i, o.begun.Add(r.at))
	}
	if want.Before(o.expiry) && !closed.Equal(want) && !asked.Equal(want) {
		fail("G4: the connection was closed %v after GracefulStop, want %v", closed.Sub(gs), want.Sub(gs))
	}
	if want.After(o.expiry) && closed.Before(o.expiry) {
		fail("G3: the connection was closed %v before the timer", o.expiry.Sub(closed))
	}
	if closed.After(o.over) {
		fail("the connection outlives the server")
	}
}

// ownEnd returns when a handler ends by itself.
func (r *mixResult) ownEnd(o *mixOracle) time.Time {
	switch r.kind {
	case endless:
		return o.after()
	case drained:
		return later(r.begun, o.graceful).Add(r.takes)
	case gateway:
		if rpc := o.results[r.rpc]; !rpc.begun.IsZero() {
			return rpc.ownEnd(o)
		}
		return r.begun
	default:
		return r.begun.Add(r.takes)
	}
}

// checkHandler checks when the handler came back, and why.
func (o *mixOracle) checkHandler(fail failer, r *mixResult, back time.Time) {
	own := r.ownEnd(o)
	want := own
	if r.kind != stuck && r.kind != held {
		want = earlier(own, later(r.begun, o.expiry))
	}
	switch {
	case r.kind == held && back.Before(want) && !back.Before(o.expiry): // Stop leaves it alone
		if cut, _ := o.phase(lastcall.PhaseCut); !back.Equal(cut.Start) {
			fail("G5: a connection that nobody can cancel was closed %v after the timer, and cut after %v", back.Sub(o.expiry), cut.Start.Sub(o.expiry))
		}
	case want.After(o.end):
		if back.Before(o.end) {
			fail("the handler came back %v before its end", want.Sub(back))
		}
	case !back.Equal(want):
		fail("G4: the handler came back %v after the drain began, want %v", back.Sub(o.graceful), want.Sub(o.graceful))
	}
	cause := lastcall.ErrTimer
	if r.over == overGRPC && r.kind != drained && r.kind != endless {
		cause = context.Canceled // unary, without WithUnaryContexts
	}
	if own.After(back) && back.Equal(o.expiry) && r.over != inside && r.kind != gateway && r.kind != held && !errors.Is(r.cause, cause) {
		fail("the handler's context ended with %v", r.cause)
	}
	if own.Before(o.expiry) && r.cause != nil && r.over != overGRPC && r.kind != held {
		fail("G3: the handler ended before the timer, and its context with %v", r.cause)
	}
}

// checkRefused checks what a client is told that is not served.
func (o *mixOracle) checkRefused(fail failer, r *mixResult, asked time.Time) {
	switch {
	case r.done.IsZero() && r.over == overH2C && asked.Equal(o.stopped(r.server)): // its client tries again after a pause
	case r.done.IsZero():
		fail("it was not served, and heard nothing")
	case r.over == overConn: // see checkStays
	case o.servers[r.server].kind == grpcKind:
		if status.Code(r.err) != codes.Unavailable {
			fail("it was refused with %v", r.err)
		}
	// In the instant in which its connection is closed net/http may call it a bad request.
	case r.err == nil && r.status != http.StatusServiceUnavailable && (r.status != http.StatusBadRequest || !asked.Equal(o.stopped(r.server))), asked.After(o.stopped(r.server)) && !errors.Is(r.err, errRefused):
		fail("it was refused with %d %q, %v", r.status, r.answer, r.err)
	}
}

// header returns when the header of an answer of HTTP was fixed.
func (r *mixResult) header() time.Time {
	if r.kind == drained || r.kind == endless {
		return r.begun
	}
	return r.back
}

// checkAnswer checks the answer of a handler that came to its end before the timer.
func (o *mixOracle) checkAnswer(fail failer, r *mixResult, back time.Time) {
	gs := o.stopped(r.server)
	if o.servers[r.server].kind == grpcKind {
		if r.err != nil || !r.done.Equal(back) {
			fail("G3: the RPC ended before the timer, and its client heard %v after %v", r.err, r.done.Sub(back))
		}
		return
	}
	want, at := "done\n", back
	switch {
	case r.kind == hijack || r.kind == held:
		want, at = "hello\n", r.begun
	case r.kind == drained && o.servers[r.server].kind == httpKind:
		want = "event\ndone\n"
	}
	if r.err != nil || r.answer != want || !r.done.Equal(at) {
		fail("G3: the handler ended before the timer, and its client heard %d %q, %v, %v after that", r.status, r.answer, r.err, r.done.Sub(at))
	}
	if r.status == 0 {
		return
	}
	if r.status != http.StatusOK {
		fail("G3: the handler ended before the timer, and its client heard %d %q", r.status, r.answer)
	}
	header := r.header()
	if r.over != overH2C && !header.Equal(o.trigger) && r.closes != header.After(o.trigger) {
		fail("the answer said Connection: close: %v, %v after GracefulStop", r.closes, header.Sub(gs))
	}
}

// checkCancelled checks what a client heard whose handler was still at work when the
// timer fired.
func (o *mixOracle) checkCancelled(fail failer, r *mixResult, back time.Time) {
	s := o.servers[r.server]
	done := o.orAfter(r.done)
	// For half of phase cancel who does not heed his context may answer.
	patience := o.expiry.Add(o.deadlineAt(o.expiry).Sub(o.expiry) / 12)
	cutBy := o.over
	// A connection in memory heeds the deadline of a Write only if its buffer is full.
	late := r.kind == stuck && r.over != overH2C && r.err == nil && r.answer == "done\n" && done.Equal(back)
	switch {
	case s.kind == grpcKind:
		code := status.Code(r.err)
		if r.over == inside && code == codes.Canceled {
			return
		}
		if code != codes.Unavailable || status.Convert(r.err).Message() != leaving {
			fail("G5: the RPC was cancelled, and its client heard %v", r.err)
		}
		if o.timer.After(o.stopped(r.server)) && !done.Equal(o.timer) {
			fail("G4: a client heard of its cancellation %v after the timer", done.Sub(o.timer))
		}
	case r.kind == hijack || r.kind == held:
		if r.answer != "hello\n" || r.err != nil {
			fail("the client of a hijacked connection heard %q, %v", r.answer, r.err)
		}
	case s.kind == rawKind:
		if late {
			return
		}
		if r.err == nil || done.After(cutBy) || r.kind != stuck && !done.Equal(o.expiry) {
			fail("G5: a client heard %q, %v, %v after the timer", r.answer, r.err, done.Sub(o.expiry))
		}
	case r.kind == drained || r.kind == endless: // a part must not look like the whole
		if r.err == nil || r.answer != "event\n" || !done.Equal(o.expiry) {
			fail("G5: the client of a stream heard %q, %v, %v after the timer", r.answer, r.err, done.Sub(o.expiry))
		}
	case r.kind == stuck && back.Before(patience):
		if r.err != nil || r.answer != "done\n" || !done.Equal(back) {
			fail("G5: the handler ended %v after the timer, and its client heard %d %q, %v, %v after the timer", back.Sub(o.expiry), r.status, r.answer, r.err, done.Sub(o.expiry))
		}
	case r.kind == stuck:
		if !late && !back.Equal(patience) && r.err == nil || done.Before(o.expiry) || done.After(cutBy) {
			fail("G5: the handler is stuck, and its client heard %d %q, %v, %v after the timer", r.status, r.answer, r.err, done.Sub(o.expiry))
		}
	default:
		own := r.kind == gateway && r.status == http.StatusBadGateway // the handler's
		closes := r.closes || r.over == overH2C || own && o.stopped(r.server).Equal(o.expiry)
		if r.err != nil || !own && r.status != http.StatusServiceUnavailable || !done.Equal(o.expiry) || !closes {
			fail("G5: a request was cancelled, and its client heard %d %q, close %v, %v, %v after the timer", r.status, r.answer, r.closes, r.err, done.Sub(o.expiry))
		}
	}
}

// checkTask checks what became of what a handler has begun in the background.
func (o *mixOracle) checkTask(t *rapid.T, r *mixResult) {
	if r.task < 0 || r.begun.IsZero() {
		return
	}
	gs := o.stopped(o.first(taskKind))
	if r.taskErr != nil {
		if !errors.Is(r.taskErr, drain.ErrClosed) || r.begun.Before(gs) {
			t.Fatalf("G3: a task was refused %v after its group was closed: %v", r.begun.Sub(gs), r.taskErr)
		}
		return
	}
	want := r.taskBegun.Add(r.task)
	if !r.tough {
		want = earlier(want, later(r.taskBegun, o.expiry))
	}
	if back := o.orAfter(r.taskBack); !back.Equal(want) && !want.After(o.end) {
		t.Fatalf("G4: a task came back %v after the drain began, want %v", back.Sub(o.graceful), want.Sub(o.graceful))
	}
	if !r.taskBegun.Equal(r.begun) {
		t.Fatalf("a task began %v after its handler", r.taskBegun.Sub(r.begun))
	}
	if !r.tough && r.taskBegun.Add(r.task).After(o.expiry) && !errors.Is(r.taskCause, lastcall.ErrTimer) {
		t.Fatalf("a task's context ended with %v", r.taskCause)
	}
}

// checkWorkers: the claim ends with the trigger, the work at the timer.
func (o *mixOracle) checkWorkers(t *rapid.T) {
	for i, w := range o.toils {
		if w.begun.IsZero() {
			continue
		}
		p := o.workers[i]
		want := later(w.begun, o.trigger).Add(p.takes)
		switch p.kind {
		case breaks:
			want = earlier(w.begun.Add(p.takes), later(w.begun, o.trigger))
		case obeying:
			want = earlier(want, o.expiry)
		}
		if back := o.orAfter(w.back); !back.Equal(want) && !want.After(o.end) {
			t.Fatalf("G4: worker %d came back %v after the trigger, want %v", i, back.Sub(o.trigger), want.Sub(o.trigger))
		}
	}
}

// serversEnd returns when all servers had ended.
func (o *mixOracle) serversEnd() time.Time {
	at := o.graceful
	for i := range o.servers {
		at = later(at, o.lastEnd(i))
	}
	return at
}

// workersEnd returns when all workers had.
func (o *mixOracle) workersEnd() time.Time {
	at := o.graceful
	for _, w := range o.toils {
		if !w.begun.IsZero() {
			at = later(at, o.orAfter(w.back))
		}
	}
	return at
}

// checkPath is G3, and G4 for the drain.
func (o *mixOracle) checkPath(t *rapid.T) {
	last := later(o.serversEnd(), o.workersEnd())
	switch {
	case last.Before(o.expiry) && o.expired:
		t.Fatalf("G3: the last end came %v before the timer, and the timer fired", o.expiry.Sub(last))
	case last.After(o.expiry) && !o.expired:
		t.Fatalf("G3: the last end came %v after the timer, and the path is %v", last.Sub(o.expiry), o.report.Path)
	case !o.expired && !o.over.Equal(last):
		t.Fatalf("G4: the drain ended %v after the last end", o.over.Sub(last))
	case !o.expired && o.report.Outcome != report.OutcomeDrained:
		t.Fatalf("G3: outcome %v, want drained", o.report.Outcome)
	case o.expired && (o.report.Outcome <= report.OutcomeDrained || o.report.Outcome > report.OutcomeAbandoned):
		t.Fatalf("G3: forced, with outcome %v", o.report.Outcome)
	}
	for _, s := range o.report.Steps {
		if !o.expired && (s.Op == report.OpCancel || s.Op == report.OpStop && s.Name != adminName || s.Op == report.OpCut) {
			t.Fatalf("G3: drained, with %v", s)
		}
	}
	abandoned := o.report.Outcome == report.OutcomeAbandoned
	if o.expired && abandoned != last.After(o.over) && !last.Equal(o.over) {
		t.Fatalf("G2: outcome %v, and the last end came %v after TERMINATED", o.report.Outcome, last.Sub(o.over))
	}
}

// deadlineAt returns what the deadline was in an instant.
func (o *mixOracle) deadlineAt(at time.Time) time.Time {
	planned := o.trigger.Add(o.budget.Total)
	if !o.force.IsZero() && !o.force.After(at) {
		return earlier(planned, o.force.Add(o.budget.Reserve))
	}
	return planned
}

// share returns the end of a phase that may use a k-th of the time; ok is false if a
// force comes meanwhile.
func (o *mixOracle) share(start time.Time, k int) (end time.Time, ok bool) {
	end = start.Add(max(0, o.deadlineAt(start).Sub(start)) / time.Duration(k))
	return end, o.force.IsZero() || !o.force.After(start) || !o.force.Before(end)
}

// checkOver is G4 for the phases of TIMER_EXPIRED, and G5.
func (o *mixOracle) checkOver(t *rapid.T) {
	if !o.expired {
		return
	}
	servers, workers := o.serversEnd(), o.workersEnd()
	cancelled, exact := o.share(o.expiry, 6)
	switch {
	case !exact:
	case !servers.After(cancelled):
		at := later(o.expiry, servers)
		end, exact := o.share(at, 3)
		if want := later(at, earlier(workers, end)); exact && !o.over.Equal(want) {
			t.Fatalf("G4: TERMINATED was entered %v after the timer, want %v", o.over.Sub(o.expiry), want.Sub(o.expiry))
		}
	default:
		if stop, _ := o.phase(lastcall.PhaseStop); !stop.Start.Equal(cancelled) && !servers.Equal(cancelled) {
			t.Fatalf("G4: phase stop began %v after the timer, want %v", stop.Start.Sub(o.expiry), cancelled.Sub(o.expiry))
		}
		last := later(servers, workers)
		wait, entered := o.phase(lastcall.PhaseWait)
		want := last
		if entered {
			end, ok := o.share(wait.Start, 3)
			want, exact = earlier(last, end), ok
		}
		if exact && !o.over.Equal(want) {
			t.Fatalf("G4: TERMINATED was entered %v after the timer, want %v", o.over.Sub(o.expiry), want.Sub(o.expiry))
		}
	}
	stopped := map[string]int{}
	for _, s := range o.report.Steps {
		if s.Op == report.OpStop {
			stopped[s.Name]++
		}
	}
	for i, s := range o.servers {
		last, returned := o.lastEnd(i), 0
		if last.After(o.expiry) || o.stopped(i).Equal(o.expiry) && !o.graceful.Equal(o.expiry) {
			returned = 1
		}
		if stopped[s.name] != returned && !last.Equal(o.expiry) {
			t.Fatalf("G5: Stop of %s was called %d times; its last end came %v after the timer", s.name, stopped[s.name], last.Sub(o.expiry))
		}
	}
}

// checkEnd is G2 and G4 for what comes after TERMINATED, and the instant in which Run
// returns.
func (o *mixOracle) checkEnd(t *rapid.T) {
	exact := o.force.IsZero() || !o.force.After(o.over) || o.force.After(o.end)
	at := o.over
	whole, _ := o.share(at, 2)
	var groups [][]int
	for i := range o.closers {
		if o.together[i] {
			groups[len(groups)-1] = append(groups[len(groups)-1], i)
		} else {
			groups = append(groups, []int{i})
		}
	}
	step := func(who string, start, end time.Time, takes time.Duration) time.Time {
		begun := o.w.find(who, "begin")
		if len(begun) != 1 || begun[0].at.Before(o.over) || exact && !begun[0].at.Equal(start) {
			t.Fatalf("G2: %s began %+v, %v after TERMINATED", who, begun, start.Sub(o.over))
		}
		return earlier(begun[0].at.Add(takes), end)
	}
	for n, group := range groups {
		start := at
		end := start.Add(max(0, whole.Sub(start)) / time.Duration(len(groups)-n))
		for _, i := range group {
			at = later(at, step("closer "+name(i), start, end, o.closers[i]))
		}
	}
	behind := 0
	if o.admin {
		behind = 1
	}
	start := at
	end, _ := o.share(start, 1+behind)
	for i, takes := range o.flushers {
		at = later(at, step("flusher "+name(i), start, end, takes))
	}
	if !exact {
		return
	}
	flushed := at
	at = o.checkVisits(t, at)
	if slices.ContainsFunc(o.visits, func(v visited) bool { return v.asked.Equal(flushed) }) {
		at = later(at, earlier(o.end, flushed.Add(lastTime))) // it may have come in
	}
	if slices.ContainsFunc(o.report.Failures(), func(s report.Step) bool {
		return s.Start.Add(grace).After(at) && s.Result == report.ResultTimedOut
	}) {
		at = o.end // it was given a moment
	}
	if !o.end.Equal(at) {
		t.Fatalf("G4: Run returned %v after TERMINATED, want %v", o.end.Sub(o.over), at.Sub(o.over))
	}
	if code := o.report.ExitCode(); !o.expired && code != 0 && len(o.report.Failures()) == 0 {
		t.Fatalf("drained without a failure, with exit code %d", code)
	}
}

// checkVisits checks that the admin server was there until the flushers had run, and
// returns when it had ended.
func (o *mixOracle) checkVisits(t *rapid.T, flushed time.Time) time.Time {
	end := flushed
	half, _ := o.share(flushed, 2)
	stop := earlier(flushed.Add(lastTime), half)
	for _, v := range o.visits {
		want := v.asked.Add(v.takes)
		switch {
		case v.asked.Before(flushed) && !want.After(flushed) || v.asked.Before(flushed) && want.Before(stop):
			if v.err != nil || v.answer == "" || !v.done.Equal(want) {
				t.Fatalf("G2: %s asked %v before the flushers had ended, and heard %q, %v after %v", v.who, flushed.Sub(v.asked), v.answer, v.err, v.done.Sub(v.asked))
			}
			end = later(end, want)
		case v.asked.Before(flushed) && want.After(stop):
			end = later(end, stop)
			if !v.done.Equal(stop) || v.err == nil {
				t.Fatalf("G4: %s asked for something long, and heard %q, %v after %v, want an end after %v", v.who, v.answer, v.err, v.done.Sub(v.asked), stop.Sub(v.asked))
			}
		case v.asked.Before(flushed): // it is over in the instant of Stop
			end = later(end, stop)
		case v.asked.After(flushed) && v.err == nil:
			t.Fatalf("G2: %s asked %v after the flushers had ended, and heard %q", v.who, v.asked.Sub(flushed), v.answer)
		}
	}
	return end
}

// numbers are bounds for those of a report: an end and a beginning in the same instant
// may be counted one way or the other.
type numbers struct{ least, most int }

func (n *numbers) add(sure, possible bool) {
	if sure {
		n.least++
	}
	if sure || possible {
		n.most++
	}
}

func (n *numbers) has(got int) bool { return n.least <= got && got <= n.most }

// checkWork checks that a server's numbers add up, and are those of the handlers.
func (o *mixOracle) checkWork(t *rapid.T, i int) {
	s := o.servers[i]
	var before, arrived, completed, forced, running numbers
	count := func(begun, back time.Time) {
		if begun.IsZero() {
			return
		}
		back = o.orAfter(back)
		counts, may := back.After(o.trigger), back.Equal(o.trigger)
		before.add(counts && begun.Before(o.trigger), (counts || may) && !begun.After(o.trigger))
		arrived.add(begun.After(o.trigger), begun.Equal(o.trigger))
		completed.add(counts && back.Before(o.expiry) && back.Before(o.over), (counts || may) && !back.After(earlier(o.expiry, o.over)))
		running.add(back.After(o.over), back.Equal(o.over))
		forced.add(back.After(o.expiry) && back.Before(o.over), !back.Before(o.expiry) && !back.After(o.over))
	}
	for _, r := range o.results {
		switch {
		case s.kind == taskKind:
			count(r.taskBegun, r.taskBack)
		case s.kind != rawKind && r.server == i && r.begun.IsZero():
			// The adapter may have refused it: at the timer, or in the instant in which its
			// connection was closed for its silence.
			if !r.done.Before(o.expiry) || r.over == overConn && o.begun.Add(r.at+r.speaks).Equal(r.gone) {
				arrived.most++
				forced.most++
			}
		case s.kind != rawKind && r.server == i:
			count(r.begun, r.back)
		}
	}
	if s.kind == rawKind {
		for _, c := range o.conns[i] {
			if c.dialled.Equal(o.stopped(i)) {
				return // it may have been refused
			}
			back := c.closed
			for _, r := range o.results {
				if r.server == i && !r.begun.IsZero() && r.begun.Before(o.orAfter(back)) && o.orAfter(r.back).After(o.orAfter(back)) {
					return // its handler is stuck, and has not closed it
				}
			}
			count(c.dialled, back)
		}
	}
	var sum lastcall.Work
	for _, w := range o.report.Work {
		if w.Server != s.name {
			continue
		}
		if w.Kind == lastcall.WorkCall {
			if w.Oldest.Equal(o.over) {
				continue // it was begun in this instant
			}
			t.Fatalf("a call has not returned that never hangs: %+v", w)
		}
		if w.Before+w.Arrived != w.Completed+w.Cancelled+w.Cut+w.Running || w.Late > w.Arrived {
			t.Fatalf("the numbers do not add up: %+v", w)
		}
		if !o.expired && max(0, w.Cancelled-w.Late)+w.Cut+w.Running > 0 { // those that came too late were refused
			t.Fatalf("drained, with %+v", w)
		}
		if s.kind == httpKind && w.Name != "GET /job/{id}" {
			t.Fatalf("a request is counted as %q", w.Name)
		}
		sum.Before += w.Before
		sum.Arrived += w.Arrived
		sum.Completed += w.Completed
		sum.Cancelled += w.Cancelled
		sum.Cut += w.Cut
		sum.Running += w.Running
	}
	if !before.has(sum.Before) || !arrived.has(sum.Arrived) || !completed.has(sum.Completed) || !forced.has(sum.Cancelled+sum.Cut) || !running.has(sum.Running) {
		t.Fatalf("%s: the report has %+v, want before %v, arrived %v, completed %v, cancelled and cut %v, running %v", s.name, sum, before, arrived, completed, forced, running)
	}
}

// checkLeft is G10.
func (o *mixOracle) checkLeft(t *rapid.T) {
	if named := len(o.report.Abandoned()); o.aliveAbove > named {
		t.Fatalf("G10: %d goroutines of the controller are alive, the report names %d", o.aliveAbove, named)
	}
	named := 0
	for _, w := range o.report.Work {
		if w.Kind == lastcall.WorkCall || w.Kind == lastcall.WorkTask {
			named += w.Running
		}
	}
	if o.aliveBelow > named {
		t.Fatalf("G10: %d goroutines of the adapters are alive, the report names %d", o.aliveBelow, named)
	}
}
