package report

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
)

// DefaultRecord is the limit that NewRecorder takes for 0: 1 MiB.
const DefaultRecord = 1 << 20

// ErrRecordFull is what Err of a Recorder returns when the limit was reached.
var ErrRecordFull = errors.New("report: the limit of the record is reached, and steps are left out")

// recordFull is the name of the warning that stands where the first Step is left out.
const recordFull = "record"

// Recorder writes Steps as JSON lines, one object per line. So they are known even if the
// process ends before it makes a report. Its Observe is for controller.WithObserver:
//
//	record := report.NewRecorder(file, 0)
//	controller.WithObserver("record", record.Observe)
//
// ReadRecord makes a Report of what was written, and "lastcall draw" draws it.
type Recorder struct {
	w          io.Writer
	left, kept int
	err        atomic.Pointer[error]
	ended      bool
}

// NewRecorder returns a Recorder that writes at most limit bytes of Steps to w. A limit of 0
// stands for DefaultRecord, and a negative one for no bytes. Steps that do not fit are left
// out, and a line says so. The trigger, transitions and the summary, without which there is
// nothing to draw, may take as many bytes again.
func NewRecorder(w io.Writer, limit int) *Recorder {
	limit = max(0, cmp.Or(limit, DefaultRecord))
	return &Recorder{w: w, left: limit, kept: limit}
}

// Err returns the first error of the writer, after which nothing is written; or ErrRecordFull;
// or nil. Any goroutine may call it; it does not block.
func (r *Recorder) Err() error {
	if err := r.err.Load(); err != nil {
		return *err
	}
	return nil
}

// entry is a Step as a line has it.
type entry struct {
	Version int `json:"version"`
	jsonStep
	At     time.Time   `json:"at"`               // when observers were told
	Work   []jsonWork  `json:"work,omitempty"`   // of KindWork and KindProgress
	Report *jsonReport `json:"report,omitempty"` // of KindTrigger and KindSummary, without its steps
}

// Observe writes a Step, in one Write. It blocks as long as that does. One goroutine may
// call it at a time, as the controller does.
func (r *Recorder) Observe(s Step) {
	if r.ended {
		return
	}
	out := entry{Version: Version, jsonStep: jsonStepOf(s), At: s.Now.At}
	if s.Work != nil {
		out.Work = jsonWorkOf(s.Work)
	}
	if s.Report != nil {
		known := s.Report.json([]jsonStep{})
		out.Report = &known
	}
	text, err := json.Marshal(out)
	if err != nil {
		r.fail(err)
		return
	}
	text = append(text, '\n')
	needed := s.Kind == KindWarning && s.Name == recordFull || s.Kind == KindTrigger || s.Kind == KindTransition || s.Kind == KindSummary
	switch {
	case len(text) <= r.left:
		r.left -= len(text)
	case needed && len(text) <= r.kept:
		r.kept -= len(text)
	default:
		err := ErrRecordFull
		if r.err.CompareAndSwap(nil, &err) { // whoever reads the lines has to know
			r.Observe(Step{Kind: KindWarning, Name: recordFull, Text: "the record is full, what follows is left out", State: s.State, Phase: s.Phase, Start: s.Now.At, Now: s.Now})
		}
		return
	}
	if n, err := r.w.Write(text); err != nil || n < len(text) {
		r.fail(cmp.Or(err, io.ErrShortWrite))
	}
}

func (r *Recorder) fail(err error) {
	r.err.CompareAndSwap(nil, &err)
	r.ended = true
}

// ReadRecord makes a Report of what a Recorder wrote. A record without a summary gives a Report
// that ends with the last line and has no outcome. Its Work is what the last lines told: work
// that ended after that is counted in none of the fields. Calls that began and did not end in
// the record have no Result and are Abandoned.
//
// An incomplete last line is ignored. Any other line that is not a Step is an error that names
// the line. A record of several runs is an error that names the second trigger.
func ReadRecord(r io.Reader) (Report, error) {
	var got reading
	in := bufio.NewReader(r)
	for n := 1; ; n++ {
		text, end := in.ReadBytes('\n')
		if end != nil && !errors.Is(end, io.EOF) {
			return Report{}, fmt.Errorf("report: line %d: %w", n, end)
		}
		if len(bytes.TrimSpace(text)) > 0 {
			err := got.line(text)
			_, cut := errors.AsType[*json.SyntaxError](err) // its end is missing
			if err != nil && (end == nil || !cut) {
				return Report{}, fmt.Errorf("report: line %d: %w", n, err)
			}
		}
		if end != nil {
			return got.report()
		}
	}
}

// reading is what ReadRecord has read so far.
type reading struct {
	r       Report
	begun   []Step // calls that have begun, and not ended
	end     time.Time
	trigger bool
	summed  bool
}

func (g *reading) line(text []byte) error {
	var in entry
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	if err := checkVersion(in.Version); err != nil {
		return err
	}
	if in.Kind == 0 {
		return errors.New("it has no kind of step")
	}
	s, err := in.step()
	if err != nil {
		return err
	}
	for _, w := range in.Work {
		s.Work = append(s.Work, w.work())
	}
	if in.At.After(g.end) {
		g.end = in.At
	}
	if in.Report != nil {
		known, err := in.Report.report()
		if err != nil {
			return err
		}
		if s.Kind == KindTrigger && g.trigger {
			return fmt.Errorf("a second trigger, %q: the lines are those of more than one run", s.Text)
		}
		g.trigger, g.summed = true, g.summed || s.Kind == KindSummary
		known.CauseText = cmp.Or(known.CauseText, s.Text)
		known.Steps, known.Path = g.r.Steps, nil
		g.r = known
	}
	g.step(s)
	return nil
}

// step keeps what a Report has of steps.
func (g *reading) step(s Step) {
	same := func(o Step) bool { return o.Op == s.Op && o.Name == s.Name && o.Start.Equal(s.Start) }
	switch s.Kind {
	case KindBegin:
		s.Kind, s.Abandoned = KindCall, true
		g.begun = append(g.begun, s)
		return
	case KindCall:
		if i := slices.IndexFunc(g.begun, same); i >= 0 {
			g.begun = slices.Delete(g.begun, i, i+1)
		}
		if i := slices.IndexFunc(g.r.Steps, func(o Step) bool { return o.Kind == KindCall && same(o) }); i >= 0 {
			g.r.Steps[i] = s // it was late, and has come back
			return
		}
	case KindWarning:
		if s.Name != recordFull {
			return
		}
	case KindWork, KindProgress:
		g.work(s)
		return
	case KindTrigger, KindSummary:
		return
	default:
	}
	g.r.Steps = append(g.r.Steps, s)
}

// work keeps what was told last of the work in flight, until the summary tells all of it.
// Progress names only what still runs, and in the last state nothing of servers.
func (g *reading) work(s Step) {
	if g.summed {
		return
	}
	if len(s.Stacks) > 0 {
		g.r.Stacks = s.Stacks
	}
	if s.Kind == KindWork {
		g.r.Work = slices.DeleteFunc(g.r.Work, func(w lastcall.Work) bool { return w.Server == s.Name })
	} else if s.State != fsm.Terminated {
		for i := range g.r.Work {
			g.r.Work[i].Running = 0
		}
	}
	for _, w := range s.Work {
		i := slices.IndexFunc(g.r.Work, func(o lastcall.Work) bool { return o.Server == w.Server && o.Name == w.Name && o.Kind == w.Kind })
		switch {
		case w.Server == "": // a call of the controller's: its begin is told
		case i < 0:
			g.r.Work = append(g.r.Work, w)
		default:
			g.r.Work[i] = w
		}
	}
	slices.SortStableFunc(g.r.Work, func(a, b lastcall.Work) int { return cmp.Compare(a.Server, b.Server) })
}

// report returns what the lines come to.
func (g *reading) report() (Report, error) {
	if !g.trigger {
		return Report{}, errors.New("report: the lines have no trigger: they end before a shutdown begins")
	}
	r := g.r
	if !g.summed {
		r.Outcome = 0 // the trigger's report has that of a shutdown in which nothing more happens
	}
	for _, s := range g.begun {
		s.Duration = max(0, g.end.Sub(s.Start))
		r.Steps = append(r.Steps, s)
	}
	slices.SortStableFunc(r.Steps, func(a, b Step) int { return a.Start.Compare(b.Start) })
	if g.end.After(r.Ended) || !g.summed {
		r.Ended = g.end
	}
	rows(r.Steps)
	var phase *Step
	for i := range r.Steps {
		switch s := &r.Steps[i]; s.Kind {
		case KindPhase:
			if phase != nil {
				phase.Duration = s.Start.Sub(phase.Start)
			}
			phase = s
		case KindTransition:
			if len(r.Path) == 0 {
				r.Path = append(r.Path, s.Transition.From)
			}
			r.Path = append(r.Path, s.State)
		default:
		}
	}
	if phase != nil {
		phase.Duration = max(0, r.Ended.Sub(phase.Start))
	}
	return r, nil
}
