package numbers_test

import (
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/internal/numbers"
	"github.com/lastcall-go/lastcall/report"
)

// host is a controller of which only the work in flight varies.
type host struct {
	lastcall.Host
	times    lastcall.Times
	inFlight func() []lastcall.Work
}

func (*host) State() fsm.State            { return fsm.Serving }
func (*host) Phase() lastcall.Phase       { return lastcall.PhaseServe }
func (*host) Ready() bool                 { return true }
func (h *host) InFlight() []lastcall.Work { return slices.Clone(h.inFlight()) }
func (h *host) Life() lastcall.Life {
	return lastcall.NewLife(nil, func() (lastcall.Times, bool) { return h.times, !h.times.Trigger.IsZero() })
}

func newNumbers(t *testing.T, h *host) *numbers.Numbers {
	t.Helper()
	n := &numbers.Numbers{}
	if err := n.Attach("test", h); err != nil {
		t.Fatal(err)
	}
	return n
}

// A reading that waits for a server holds up nothing else.
func TestReadHangs(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	n := newNumbers(t, &host{inFlight: func() []lastcall.Work {
		close(asked)
		<-release
		return nil
	}})
	over := make(chan struct{})
	go func() { n.Read(); close(over) }()
	<-asked
	observed := make(chan struct{})
	go func() { n.Observe(report.Step{Kind: report.KindBegin, Op: report.OpStop}); close(observed) }()
	select {
	case <-observed:
	case <-time.After(5 * time.Second):
		t.Error("Observe waits for the answer of a server")
	}
	close(release)
	<-over
}

// From phase close on work is what it was when that began: what a closer ends has not ended by
// itself. With the summary it is the report's, and what runs is abandoned; but a call that has
// not returned is still held, and what the report does not have goes on.
func TestWorkAtTheEnd(t *testing.T) {
	call := lastcall.Work{Server: "s", Name: "net.Conn.Close", Kind: lastcall.WorkCall, Running: 1}
	live := []lastcall.Work{{Server: "s", Name: "x", Kind: lastcall.WorkTask, Running: 1}, call}
	n := newNumbers(t, &host{inFlight: func() []lastcall.Work { return live }})
	want := func(when string, running, completed, abandoned, held int) {
		t.Helper()
		r, ok := n.Read()
		if !ok || len(r.Work) == 0 || len(r.Held) != 1 {
			t.Fatalf("%s: %+v", when, r)
		}
		w := r.Work[len(r.Work)-1]
		if w.Running != running || w.Completed != completed || w.Abandoned != abandoned || r.Held[0].Running != held {
			t.Errorf("%s: %+v, and %d calls are held", when, w, r.Held[0].Running)
		}
		if r.Begun["s"] != 1 {
			t.Errorf("%s: %d have begun", when, r.Begun["s"])
		}
	}
	want("before", 1, 0, 0, 1)
	n.Observe(report.Step{Kind: report.KindPhase, Phase: lastcall.PhaseClose})
	fixed := live
	live = []lastcall.Work{{Server: "s", Name: "x", Kind: lastcall.WorkTask, Completed: 1}}
	want("a closer has ended it", 1, 0, 0, 1)
	live = append(live, lastcall.Work{Server: "a", Name: "probe", Kind: lastcall.WorkInfra, Running: 1})
	n.Observe(report.Step{Kind: report.KindSummary, Report: &report.Report{Work: fixed}})
	want("the summary", 0, 0, 1, 1)
	if r, _ := n.Read(); len(r.Work) != 2 || r.Work[0].Server != "a" || r.Work[0].Running != 1 || r.Work[0].Abandoned != 0 {
		t.Errorf("the server that the report does not have: %+v", r.Work)
	}
}

// What servers say is not trusted: no number is below zero, and every name is UTF-8, so that
// one of them does not cost all metrics. Nothing is left when the deadline has passed.
func TestWhatServersSay(t *testing.T) {
	past := time.Now().Add(-time.Minute)
	h := &host{times: lastcall.Times{Trigger: past, Timer: past, Deadline: past}, inFlight: func() []lastcall.Work {
		return []lastcall.Work{{Server: "\xff", Name: "a\xff", Kind: "b\xff", Running: -1, Served: -1, Before: -1, Late: -1, Completed: -1, Cancelled: -1, Cut: -1}}
	}}
	r, _ := newNumbers(t, h).Read()
	r.Each(func(id string, value float64, labels ...string) {
		if value < 0 {
			t.Errorf("%s %q is %v", id, labels, value)
		}
		for _, l := range labels {
			if !utf8.ValidString(l) {
				t.Errorf("%s has the label %q", id, l)
			}
		}
	})
}

// A phase lasts until the next one begins. A reading stays as it is.
func TestPhasesAndCalls(t *testing.T) {
	n := newNumbers(t, &host{inFlight: func() []lastcall.Work { return nil }})
	began := time.Now().Add(-time.Minute)
	for i, p := range []lastcall.Phase{lastcall.PhaseStart, lastcall.PhaseServe, lastcall.PhaseAnnounce} {
		start := began.Add(time.Duration(i*i) * time.Second)
		n.Observe(report.Step{Kind: report.KindPhase, Phase: p, Start: start, Now: report.Moment{At: start.Add(time.Millisecond)}})
	}
	n.Observe(report.Step{Kind: report.KindCall, Op: report.OpStop, Result: report.ResultOK})
	r, _ := n.Read()
	n.Observe(report.Step{Kind: report.KindCall, Op: report.OpStop, Result: report.ResultOK})
	if r.Phases[0].Duration != time.Second || r.Phases[1].Duration != 3*time.Second || r.Phases[2].Duration < 50*time.Second {
		t.Errorf("phases %+v", r.Phases)
	}
	if n := r.Calls[numbers.Call{Op: report.OpStop, Result: report.ResultOK}]; n != 1 {
		t.Errorf("%d calls of a reading that was made after the first", n)
	}
}

// Numbers belong to one controller, which may give itself again.
func TestAttach(t *testing.T) {
	h := &host{inFlight: func() []lastcall.Work { return nil }}
	n := newNumbers(t, h)
	if err := n.Attach("test", h); err != nil {
		t.Error(err)
	}
	if err := n.Attach("test", &host{inFlight: h.inFlight}); err == nil {
		t.Error("a second controller is not an error")
	}
}
