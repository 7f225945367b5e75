package shutdowntest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// story is a check that went well, on a service with a call of each kind. It was asked to go at
// 0 s, drains from 1 s on, has its timer at 8 s and its deadline at 10 s, and ended at 5 s.
type story struct {
	*seen
	zero          time.Time
	unary, stream *call
	db            *Watched
	flush         *flush
	claim         *claim
}

func (s *story) at(seconds float64) time.Time {
	return s.zero.Add(time.Duration(seconds * float64(time.Second)))
}

func newStory() *story {
	zero := time.Now()
	s := &story{zero: zero}
	s.seen = &seen{
		plan: &plan{own: true}, budget: lastcall.Budget{Total: 10 * time.Second, Settle: time.Second, Reserve: 2 * time.Second},
		ready: s.at(-2), asked: s.at(0), announced: s.at(0), settling: s.at(0.1), drained: s.at(1), ended: s.at(5),
		report: &report.Report{Triggered: s.at(0)},
	}
	normally := &client{clientPlan: clientPlan{Temper: normal}, addrs: []string{"peer"}}
	calls := func(name string, over bool) *call {
		l := &load{name: name, listener: "grpc", grpc: func(context.Context, *grpc.ClientConn) error { return nil }, fails: map[string]bool{}}
		l.calm = []*call{{load: l, over: over, heard: heard{lengths: [2]int{1, 10}}}, {load: l, over: over, heard: heard{lengths: [2]int{1, 10}}}}
		return &call{load: l, client: normally, name: name, begun: s.at(0.5), ended: s.at(1.5), over: true, heard: heard{lengths: [2]int{1, 10}}}
	}
	s.unary, s.stream = calls("unary", true), calls("stream", false)
	s.unary.load.took.add(time.Second)
	s.calls = []*call{s.unary, s.stream}
	s.conns = []*serverConn{{listener: "grpc", peer: "peer"}}
	s.listeners = []*listener{{name: "grpc", accepted: s.at(-2), closed: s.at(1)}, {name: "web", accepted: s.at(-2), closed: s.at(1)}}
	s.db, s.flush, s.claim = &Watched{name: "db", closed: s.at(3)}, &flush{name: "traces", begun: s.at(4)}, &claim{name: "job", begun: s.at(-1), ended: s.at(2)}
	s.watched, s.flushes, s.claims = []*Watched{s.db}, []*flush{s.flush}, []*claim{s.claim}
	s.probes = []probed{{name: "p", at: s.at(-1), up: true}, {name: "p", at: s.at(1)}}
	s.health = []probed{{name: "grpc", at: s.at(-1), up: true}, {name: "grpc", at: s.at(1)}}
	return s
}

// Each rule is broken by what it names, and by nothing that is near to it.
func TestRules(t *testing.T) {
	const eps = 1e-9
	for name, tt := range map[string]struct {
		change func(s *story)
		broken string // the rule; "": none
	}{
		"all is well":               {func(*story) {}, ""},
		"the end at the deadline":   {func(s *story) { s.ended = s.at(10) }, ""},
		"the end after it":          {func(s *story) { s.ended = s.at(10 + eps) }, "bounded"},
		"late after a force":        {func(s *story) { s.forced, s.ended = s.at(2), s.at(4.5) }, "bounded"},
		"late after Shorten":        {func(s *story) { s.hurried, s.cut = s.at(2), s.at(4.5) }, "bounded"},
		"late after its own":        {func(s *story) { s.report.Triggered, s.ended = s.at(-1), s.at(9.5) }, "bounded"},
		"a probe in settle":         {func(s *story) { s.probes = append(s.probes, probed{name: "p", at: s.at(0.5), up: true, down: true}) }, "ready"},
		"a probe in settle, meant":  {func(s *story) { s.probes = append(s.probes, probed{name: "p", at: s.at(0.5), up: true}) }, ""},
		"a probe in the drain":      {func(s *story) { s.probes = append(s.probes, probed{name: "p", at: s.at(1.5), up: true}) }, "ready"},
		"a server that is late":     {func(s *story) { s.listeners[1].accepted = s.at(-1) }, "ready"},
		"a server that never comes": {func(s *story) { s.listeners[1].accepted = time.Time{} }, "ready"},
		"health that just ends":     {func(s *story) { s.health[1].over = true }, "ready"},
		"health that stays":         {func(s *story) { s.health = s.health[:1] }, "ready"},
		"health that is late":       {func(s *story) { s.health[1].at = s.at(2.5) }, "ready"},
		"a call that fails":         {func(s *story) { s.unary.err = status.Error(codes.Unavailable, "") }, "not lost"},
		"a call that fails in calm": {func(s *story) {
			s.unary.err = status.Error(codes.Unavailable, "")
			s.unary.load.fails[s.unary.outcome()] = true
		}, ""},
		"a call without an answer":             {func(s *story) { s.unary.over = false }, "not lost"},
		"a call that could end with the timer": {func(s *story) { s.takes(2500 * time.Millisecond) }, ""},
		"a call that could end before":         {func(s *story) { s.takes(2500*time.Millisecond - 1) }, "not lost"},
		"a payment that was made twice":        {func(s *story) { s.twice = "twice" }, "not lost"},
		"half of an answer":                    {func(s *story) { s.unary.heard.lengths[1] = 9 }, "honest"},
		"a call that is cancelled":             {func(s *story) { s.stream.err = status.Error(codes.Canceled, "") }, "honest"},
		"a client that has left": {func(s *story) {
			s.stream.client = &client{clientPlan: clientPlan{Temper: vanishes}}
			s.stream.err = status.Error(codes.Canceled, "")
		}, ""},
		"a stream until the timer": {func(s *story) { s.stream.ended = s.at(8) }, "drained"},
		"a stream until right before": {func(s *story) {
			s.stream.ended, s.db.closed, s.flush.begun, s.ended = s.at(8-eps), s.at(9), s.at(9), s.at(9)
		}, ""},
		"a use of what was closed":        {func(s *story) { s.db.after = &use{} }, "ordered"},
		"a close under a use":             {func(s *story) { s.db.under = []*use{{}} }, "ordered"},
		"a close under a job":             {func(s *story) { s.claim.ended = s.at(3 + eps) }, "ordered"},
		"a close as a job ends":           {func(s *story) { s.claim.ended = s.at(3) }, ""},
		"a job that is claimed late":      {func(s *story) { s.claim.late, s.claim.begun = true, s.at(0.2) }, "quiet"},
		"a job that is claimed at once":   {func(s *story) { s.claim.late, s.claim.begun = true, s.at(0) }, ""},
		"a dependency that is left":       {func(s *story) { s.db.closed = time.Time{} }, "empty"},
		"a dependency closed later":       {func(s *story) { s.flush.begun, s.db.closed = s.at(5), s.at(5+eps) }, "empty"},
		"a server that fails":             {func(s *story) { s.fails(report.OpServe) }, "empty"},
		"a closer that fails":             {func(s *story) { s.fails(report.OpClose) }, "empty"},
		"a worker that fails":             {func(s *story) { s.fails(report.OpWork) }, "empty"},
		"telemetry that is flushed first": {func(s *story) { s.flush.begun = s.at(2.5) }, "told"},
		"telemetry that is left":          {func(s *story) { s.flush.begun = time.Time{} }, "told"},
		"telemetry after the end":         {func(s *story) { s.flush.begun = s.at(5 + eps) }, "told"},
	} {
		s := newStory()
		tt.change(s)
		var broken []string
		for _, r := range rules() {
			if r.holds(s.seen) != "" {
				broken = append(broken, r.name)
			}
		}
		if tt.broken == "" && len(broken) > 0 || tt.broken != "" && !slices.Contains(broken, tt.broken) {
			t.Errorf("%s: broken are %q, want %q", name, broken, tt.broken)
		}
	}
}

// fails has a step of the report fail.
func (s *story) fails(op report.Op) {
	s.report.Steps = append(s.report.Steps, report.Step{Kind: report.KindCall, Op: op, Name: "x", Result: report.ResultFailed, Err: errors.New("no"), Text: "no"})
}

// takes has a call fail that takes so long for each of the three that it may have to wait for.
func (s *story) takes(long time.Duration) {
	s.unary.err = status.Error(codes.Unavailable, "")
	s.unary.load.took = lengths{true, long, long}
}

// A force that comes after the timer does not move it, nor the deadline.
func TestRulesAfterTheTimer(t *testing.T) {
	s := newStory()
	s.forced = s.at(9)
	if !s.timer().Equal(s.at(8)) || !s.deadline().Equal(s.at(10)) {
		t.Errorf("the timer at %s and the deadline at %s, want +8s and +10s", s.since(s.timer()), s.since(s.deadline()))
	}
}

// What a check has made last is taken away first; a use that has ended is none.
func TestEnv(t *testing.T) {
	var order []string
	w := &world{kit: &kit{}, env: &Env{}, seen: &seen{}, leave: func() {}}
	w.env.seen = w.seen
	for _, name := range []string{"first", "second"} {
		w.env.Cleanup(func() { order = append(order, name) })
	}
	if w.end(); strings.Join(order, " ") != "second first" {
		t.Errorf("cleaned up %q", order)
	}
	db := w.env.Watch("db", nil)
	done, still := db.Use(), db.Use()
	second := db.using[1]
	done()
	if _ = db.Close(); len(db.under) != 1 || db.under[0] != second {
		t.Errorf("closed under %d uses, want that which has not ended", len(db.under))
	}
	still()
}

// Reached also comes with a phase behind one that is left out.
func TestReachedLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctl, err := controller.New(lastcall.Budget{Total: 10 * time.Second, Reserve: time.Second}, controller.WithSignals(), controller.WithoutStderr())
		if err != nil {
			t.Fatal(err)
		}
		reached, err := Reached(ctl, lastcall.PhaseStop) // nothing is stopped
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { ctl.Shutdown(nil) })
		r := ctl.Run(t.Context())
		synctest.Wait()
		select {
		case <-reached:
		default:
			t.Errorf("not reached: %v", r)
		}
	})
}
