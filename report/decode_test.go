package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
)

// transcripts are the reports of the controller's transcripts, as JSON.
func transcripts(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../controller/testdata/*.txt")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d transcripts, error %v", len(files), err)
	}
	all := make(map[string][]byte)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, after, found := bytes.Cut(text, []byte("\nJSON\n"))
		if !found {
			t.Fatalf("%s has no JSON", name)
		}
		all[filepath.Base(name)] = bytes.TrimSpace(after)
	}
	return all
}

// TestReadBack: a report that was read from JSON says what it said.
func TestReadBack(t *testing.T) {
	for name, text := range transcripts(t) {
		var r report.Report
		if err := json.Unmarshal(text, &r); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := json.Marshal(r)
		if err != nil || !bytes.Equal(again, bytes.ReplaceAll(text, []byte("\n"), nil)) {
			t.Errorf("%s: error %v, written again:\n%s\nwas\n%s", name, err, again, text)
		}
		var code struct {
			N int `json:"exit_code"`
		}
		if json.Unmarshal(text, &code) != nil || r.ExitCode() != code.N {
			t.Errorf("%s: exit code %d, was %d", name, r.ExitCode(), code.N)
		}
		before := fsm.Serving
		for _, s := range r.Steps {
			if s.Kind == report.KindTransition {
				if s.Transition.From != before || s.Transition.To != s.State {
					t.Errorf("%s: %v leads from %v to %v", name, s, s.Transition.From, s.Transition.To)
				}
				before = s.State
			}
		}
	}
}

// TestReadBackSummaries: the summary of the transcript can be made of its JSON.
func TestReadBackSummaries(t *testing.T) {
	for name, text := range transcripts(t) {
		var r report.Report
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(filepath.Join("../controller/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(whole, []byte("\nSUMMARY\n"+r.String()+"\n")) {
			t.Errorf("%s: the summary of what was read is\n%s", name, r)
		}
	}
}

func TestReadNotRun(t *testing.T) {
	for _, r := range []report.Report{{}, {NotRun: errors.New("Run was called before")}} {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var got report.Report
		if err := json.Unmarshal(text, &got); err != nil || got.ExitCode() != report.ExitNotRun || got.String() != r.String() {
			t.Errorf("error %v, %q, was %q", err, got, r)
		}
	}
}

// TestReadTolerates: more keys than this release knows, and fewer.
func TestReadTolerates(t *testing.T) {
	text := transcripts(t)["abandoned.txt"]
	var want, got report.Report
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	more := bytes.Replace(text, []byte(`{"version":1,`), []byte(`{"mood":{"a":[1]},`), 1)
	more = bytes.ReplaceAll(more, []byte(`{"kind"`), []byte(`{"weather":"rain","kind"`))
	timer := regexp.MustCompile(`"timer":"[^"]*",`)
	if !timer.Match(more) {
		t.Fatal("no timer")
	}
	if err := json.Unmarshal(timer.ReplaceAll(more, nil), &got); err != nil {
		t.Fatal(err)
	}
	if !got.Timer.Equal(want.Timer) {
		t.Errorf("the timer is %v, was %v", got.Timer, want.Timer)
	}
	got.Timer = want.Timer
	a, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(got); err != nil || !bytes.Equal(a, b) {
		t.Errorf("error %v\n%s\nwant\n%s", err, b, a)
	}
}

func TestReadRefuses(t *testing.T) {
	text := string(transcripts(t)["abandoned.txt"])
	for name, tt := range map[string]struct{ old, new, want string }{
		"a newer version":    {`"version":1`, `"version":2`, "version 2 is not one that this release reads, which is 1"},
		"an unknown outcome": {`"outcome":"abandoned"`, `"outcome":"lost"`, `"lost" is not an outcome`},
		"an unknown kind":    {`"kind":"phase"`, `"kind":"mood"`, `"mood" is not a kind of step`},
		"an unknown phase":   {`"phase":"start"`, `"phase":"nap"`, `"nap" is not a phase`},
		"an unknown state":   {`"state":"SERVING"`, `"state":"ASLEEP"`, `"ASLEEP" is not a state`},
		"an unknown result":  {`"result":"timed out"`, `"result":"lost"`, `step 2: "lost" is not a result`},
		"a wrong type":       {`"forced":false`, `"forced":"no"`, "forced"},
		"half of it":         {text[strings.LastIndexByte(text[:len(text)/2], '"'):], "", "unexpected end"},
	} {
		r := report.Report{CauseText: "as it was"}
		changed := strings.Replace(text, tt.old, tt.new, 1)
		err := json.Unmarshal([]byte(changed), &r)
		if err == nil || !strings.Contains(err.Error(), tt.want) || changed == text {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
		if r.CauseText != "as it was" || r.Steps != nil {
			t.Errorf("%s: the report was changed", name)
		}
	}
}

// steps are what an observer is given of a short shutdown.
func steps() []report.Step {
	at := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	known := report.Report{Outcome: report.OutcomeDrained, Triggered: at, Begun: at, Ended: at, Deadline: at.Add(time.Second), Timer: at.Add(time.Second / 2), CauseText: "c"}
	done := known
	done.Ended = at.Add(30 * time.Millisecond)
	step := func(kind report.Kind, name string, state fsm.State, after time.Duration) report.Step {
		s := report.Step{Kind: kind, Name: name, State: state, Phase: 1, Start: at.Add(after), Elapsed: after}
		s.Now.At = s.Start
		return s
	}
	begin := step(report.KindBegin, "db", fsm.Terminated, 20*time.Millisecond)
	begin.Op = report.OpClose
	call := begin
	call.Kind, call.Result, call.Duration = report.KindCall, report.ResultOK, 10*time.Millisecond
	call.Now.At = call.Start.Add(call.Duration)
	trigger, summary := step(report.KindTrigger, "trigger", fsm.Serving, 0), step(report.KindSummary, "summary", fsm.Terminated, 30*time.Millisecond)
	trigger.Report, summary.Report = &known, &done
	graceful, drained := step(report.KindTransition, "graceful_shutdown", fsm.GracefulShutdown, 0), step(report.KindTransition, "drained", fsm.Terminated, 20*time.Millisecond)
	graceful.Transition.Event, drained.Transition.Event = fsm.GracefulShutdownCalled, fsm.Drained
	return []report.Step{trigger, graceful, drained, begin, call, summary}
}

func record(w *strings.Builder, limit int, steps []report.Step) *report.Recorder {
	lines := report.NewRecorder(w, limit)
	for _, s := range steps {
		lines.Observe(s)
	}
	return lines
}

// TestLinesCutOff: what a process that was killed has written is read as far as it goes.
func TestLinesCutOff(t *testing.T) {
	all := steps()
	var whole strings.Builder
	if err := record(&whole, 0, all).Err(); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(whole.String(), "\n"), "\n")
	if len(lines) != len(all) {
		t.Fatalf("%d lines, want %d", len(lines), len(all))
	}
	for n := 1; n <= len(lines); n++ {
		text := strings.Join(lines[:n], "")
		if n < len(lines) {
			text += lines[n][:len(lines[n])/2] // what was written when the process died
		}
		r, err := report.ReadRecord(strings.NewReader(text))
		if err != nil {
			t.Errorf("%d lines: %v", n, err)
			continue
		}
		if states := len(r.Path); states != []int{0, 0, 2, 3, 3, 3, 3}[n] {
			t.Errorf("%d lines: the path is %v", n, r.Path)
		}
		closers := 0
		for _, s := range r.Steps {
			if s.Op == report.OpClose {
				closers++
				if open := n == 4; s.Abandoned != open || (s.Result == 0) != open || s.Name != "db" {
					t.Errorf("%d lines: the closer is %+v", n, s)
				}
			}
		}
		if want := min(max(0, n-3), 1); closers != want {
			t.Errorf("%d lines: %d closers, want %d", n, closers, want)
		}
		if (r.Outcome == report.OutcomeDrained) != (n == len(lines)) {
			t.Errorf("%d lines: outcome %v", n, r.Outcome)
		}
		if cut := n < len(lines); strings.Contains(r.String(), "the record ends here\n") != cut || strings.Contains(r.String(), "exit code") == cut {
			t.Errorf("%d lines: %v", n, r)
		}
		var back report.Report
		if text, err := json.Marshal(r); err != nil || json.Unmarshal(text, &back) != nil || back.String() != r.String() {
			t.Errorf("%d lines: %v, and read back from JSON %v, error %v", n, r, back, err)
		}
	}
}

// TestLinesTellWork: a record without a summary tells who was in the way, as it was told last.
func TestLinesTellWork(t *testing.T) {
	all := steps()
	work := func(kind report.Kind, name string, state fsm.State, stacks []report.Stack, left ...lastcall.Work) report.Step {
		return report.Step{Kind: kind, Name: name, State: state, Phase: lastcall.PhaseDrain, Work: left, Stacks: stacks}
	}
	grpc := func(name string, running, completed int) lastcall.Work {
		return lastcall.Work{Server: "grpc", Name: name, Kind: lastcall.WorkUnary, Before: running + completed, Running: running, Completed: completed}
	}
	web := lastcall.Work{Server: "web", Name: "GET /", Kind: lastcall.WorkRequest, Before: 1, Running: 1}
	at := []report.Stack{{Of: "/a", Func: "main.a", File: "a.go", Line: 7}}
	told := []report.Step{
		all[0], all[1],
		work(report.KindWork, "web", fsm.GracefulShutdown, nil, web),
		work(report.KindWork, "grpc", fsm.GracefulShutdown, nil, grpc("/a", 3, 0), grpc("/b", 1, 5)),
		work(report.KindProgress, "progress", fsm.GracefulShutdown, at, grpc("/a", 1, 2), lastcall.Work{Name: `worker "w"`, Kind: lastcall.WorkCall, Running: 1}),
		work(report.KindProgress, "progress", fsm.Terminated, nil), // asks no server
	}
	var b strings.Builder
	record(&b, 0, told)
	r, err := report.ReadRecord(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(r.String()) {
		if strings.HasPrefix(line, "  work") || strings.HasPrefix(line, "  running") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	want := []string{
		`work      "grpc": 9 in flight at the trigger, 0 arrived (0 late): 7 completed, 0 cancelled, 0 cut, 1 still running`,
		`running   /a x1, at a.go:7 (main.a)`,
		`work      "web": 1 in flight at the trigger, 0 arrived (0 late): 0 completed, 0 cancelled, 0 cut, 0 still running`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	b.Reset()
	record(&b, 0, append(told, all[5]))
	if r, err := report.ReadRecord(strings.NewReader(b.String())); err != nil || len(r.Work) > 0 {
		t.Errorf("with a summary: work %v, error %v", r.Work, err)
	}
}

func TestLinesRefused(t *testing.T) {
	var b strings.Builder
	record(&b, 0, steps())
	one := b.String()
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":         {"", "they end before a shutdown begins"},
		"another object":  {"{}\n" + one, "line 1: it has no kind of step"},
		"no JSON":         {one + "hello\n" + one, "line 7: invalid character"},
		"two runs":        {one + one, `line 7: a second trigger, ""`},
		"a newer version": {strings.Replace(one, `"version":1`, `"version":9`, 1), "line 1: version 9"},
	} {
		if _, err := report.ReadRecord(strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
}

// TestLinesLimit: a full file keeps what a drawing needs; a writer that fails is not
// asked again.
func TestLinesLimit(t *testing.T) {
	many := steps()
	for range 1000 {
		many = append(many[:4], append([]report.Step{many[4]}, many[4:]...)...)
	}
	const limit = 4000
	var b strings.Builder
	lines := record(&b, limit, many)
	if err := lines.Err(); !errors.Is(err, report.ErrRecordFull) {
		t.Errorf("error %v", err)
	}
	if b.Len() > 2*limit {
		t.Errorf("%d bytes, the limit is twice %d", b.Len(), limit)
	}
	r, err := report.ReadRecord(strings.NewReader(b.String()))
	if err != nil || r.Outcome != report.OutcomeDrained || len(r.Path) != 3 {
		t.Errorf("error %v, read %v", err, r)
	}
	if !slices.ContainsFunc(r.Steps, func(s report.Step) bool {
		return s.Kind == report.KindWarning && strings.Contains(s.Text, "the record is full")
	}) {
		t.Error("the lines do not say that some are left out")
	}
	if none := record(new(strings.Builder), -1, many); !errors.Is(none.Err(), report.ErrRecordFull) {
		t.Errorf("with the limit -1: %v", none.Err())
	}
	var full fullDisk
	broken := report.NewRecorder(&full, 0)
	for _, s := range many {
		broken.Observe(s)
	}
	if err := broken.Err(); !errors.Is(err, errFull) || full != 1 {
		t.Errorf("error %v, %d writes", err, full)
	}
}

var errFull = errors.New("the disk is full")

type fullDisk int

func (f *fullDisk) Write([]byte) (int, error) { *f++; return 0, errFull }
