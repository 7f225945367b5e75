package draw_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/internal/proptest"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/report/draw"
	"github.com/lastcall-go/lastcall/viz"
)

// The drawings of every shutdown of the property tests are compared with the report
// by proptest.TrueDrawings. Here are those that never happen there.

// TestTranscripts: the shutdowns that the controller keeps to the letter.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("../../controller/testdata/*.txt")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d transcripts, error %v", len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := bytes.Cut(text, []byte("\nJSON\n"))
		var r report.Report
		if err := json.Unmarshal(after, &r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := proptest.TrueDrawings(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// stopped is a shutdown that was forced, with so many closers and servers of these names.
func stopped(closers int, names ...string) report.Report {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := report.Report{
		CauseText: "signal: " + strings.Join(names, " "), Outcome: report.OutcomeStopped,
		Path:   []fsm.State{fsm.Serving, fsm.GracefulShutdown, fsm.TimerExpired, fsm.Terminated},
		Budget: lastcall.Budget{Total: 10 * time.Second, Reserve: 4 * time.Second},
		Begun:  at.Add(-time.Hour), Triggered: at, Timer: at.Add(6 * time.Second), Deadline: at.Add(10 * time.Second), Ended: at.Add(9 * time.Second),
	}
	add := func(s report.Step, after time.Duration) { s.Start = at.Add(after); r.Steps = append(r.Steps, s) }
	transition := func(from, to fsm.State, e fsm.Event, p lastcall.Phase, after time.Duration) {
		add(report.Step{Kind: report.KindTransition, Name: e.String(), State: to, Phase: p, Transition: fsm.Transition{From: from, Event: e, To: to}}, after)
	}
	transition(fsm.Serving, fsm.GracefulShutdown, fsm.GracefulShutdownCalled, lastcall.PhaseDrain, 0)
	for i, name := range names {
		add(report.Step{Kind: report.KindCall, Name: name, Op: report.OpGracefulStop, State: fsm.GracefulShutdown, Phase: lastcall.PhaseDrain, Duration: 7 * time.Second, Result: report.ResultFailed, Text: name}, time.Duration(i))
		r.Work = append(r.Work, lastcall.Work{Server: name, Name: name, Kind: lastcall.WorkUnary, Before: 1, Running: 1, Oldest: at.Add(-time.Minute),
			Slowest: [3]lastcall.EndedWork{{Began: at.Add(-time.Minute), Ended: at.Add(5 * time.Second), Fate: name}}})
	}
	transition(fsm.GracefulShutdown, fsm.TimerExpired, fsm.Timeout, lastcall.PhaseCancel, 6*time.Second)
	transition(fsm.TimerExpired, fsm.Terminated, fsm.Stopped, lastcall.PhaseClose, 7*time.Second)
	add(report.Step{Kind: report.KindPhase, Name: "close", State: fsm.Terminated, Phase: lastcall.PhaseClose, Duration: 2 * time.Second}, 7*time.Second)
	for i := range closers {
		s := report.Step{Kind: report.KindCall, Name: fmt.Sprintf("closer %d", i), Op: report.OpClose, State: fsm.Terminated, Phase: lastcall.PhaseClose, Duration: time.Millisecond, Result: report.ResultOK}
		if i == closers/2 {
			s.Result, s.Text = report.ResultPanicked, "the one that went wrong"
		}
		add(s, 7*time.Second+time.Duration(i)*time.Millisecond)
	}
	return r
}

// TestFolded: a thousand closers fit, the one that failed is among those that are drawn,
// and the drawing tells how many it leaves out. Long names fit as well.
func TestFolded(t *testing.T) {
	var long []string
	for i := range 200 {
		long = append(long, fmt.Sprintf("%d %s", i, strings.Repeat("{日本}", 100)))
	}
	for name, r := range map[string]report.Report{"many": stopped(1000, "grpc"), "long": stopped(1000, long...)} {
		if err := proptest.TrueDrawings(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for kind, drawn := range map[string]func(report.Report) (string, error){"sequence": draw.Sequence, "gantt": draw.Gantt} {
			text, err := drawn(r)
			if err != nil || len(text) >= draw.MaxLength {
				t.Errorf("%s, %s: error %v, %d bytes", name, kind, err, len(text))
			}
			if !strings.Contains(text, "calls are left out") {
				t.Errorf("%s, %s: it does not tell that something is left out:\n%s", name, kind, text)
			}
			if name == "many" && (!strings.Contains(text, "the one that went wrong") || !strings.Contains(text, "941 calls are left out (941 closer)")) {
				t.Errorf("%s, %s: the closer that failed is not drawn, or what is left out is wrong:\n%s", name, kind, text)
			}
		}
	}
}

// TestNames: nothing in a name or text can become mermaid's syntax, for one that fits.
func TestNames(t *testing.T) {
	names := []string{`"quoted"`, "a: b; c # d", "<b>bold</b>", "#35;", "end", "section x", "title y", "日本 😀", "two\nlines", "%% comment", "-->>", "\x00\xff", "P1->>P2: x", "", ":milestone, b1, 0, 0ms"}
	var valid []string // JSON has no other, and drawings have pictures of control characters
	for _, name := range names {
		valid = append(valid, strings.ReplaceAll(strings.ToValidUTF8(name, "?"), "\x00", "␀"))
	}
	if err := proptest.TrueDrawings(stopped(1, valid...)); err != nil {
		t.Error(err)
	}
	for _, name := range names {
		for kind, drawn := range map[string]func(report.Report) (string, error){"sequence": draw.Sequence, "gantt": draw.Gantt} {
			odd, err := drawn(stopped(1, name))
			even, err2 := drawn(stopped(1, "plain"))
			if err != nil || err2 != nil || strings.Count(odd, "\n") != strings.Count(even, "\n") {
				t.Errorf("%s, %q: errors %v, %v, and other lines:\n%s", kind, name, err, err2, odd)
			}
		}
	}
}

// FuzzNames: whatever names and texts are, each line is one that package draw writes, with
// nothing in it but characters that mean nothing to mermaid, and codes.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"", "grpc", "a: b; c # d", "%% x", "<b>\n\"'`", "#35;", "end", "section x", "日本 😀\u2028", "\x00\xff", strings.Repeat("{", 300)} {
		f.Add(name)
	}
	const safe = `([A-Za-z0-9 ()\-_.,/]|[^\x00-\x7f]|#\d+;)*`
	sequence := regexp.MustCompile(`^(sequenceDiagram|    participant P\d+ as ` + safe + `|    Note over P\d+: ` + safe + `|    P\d+(->>|-->>|-x|--x)P\d+: ` + safe + `)$`)
	gantt := regexp.MustCompile(`^(gantt|    title ` + safe + `|    dateFormat x|    axisFormat %[SM][.:]%[LS]|    todayMarker off|    section [a-z ]+|    ` + safe + ` :[a-z, ]*b\d+, \d+, \d+(ms)?)$`)
	f.Fuzz(func(t *testing.T, name string) {
		for lines, drawn := range map[*regexp.Regexp]func(report.Report) (string, error){sequence: draw.Sequence, gantt: draw.Gantt} {
			text, err := drawn(stopped(1, name))
			if err != nil || len(text) >= draw.MaxLength {
				t.Fatalf("error %v, %d bytes", err, len(text))
			}
			for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
				if !lines.MatchString(line) {
					t.Errorf("the line %q is none that is written", line)
				}
			}
		}
	})
}

// FuzzRead: what can be read can be drawn, or is refused.
func FuzzRead(f *testing.F) {
	text, err := json.Marshal(stopped(2, "grpc"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"kind":"trigger","state":"SERVING","phase":"serve","report":{"outcome":"none","triggered":"2026-01-01T12:00:00Z"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r report.Report
		if err := json.Unmarshal(text, &r); err != nil {
			if r, err = report.ReadRecord(bytes.NewReader(text)); err != nil {
				return
			}
		}
		for _, drawn := range []func(report.Report) (string, error){draw.Sequence, draw.Gantt} {
			if text, err := drawn(r); err == nil && (text == "" || len(text) >= draw.MaxLength) {
				t.Errorf("%d bytes", len(text))
			}
		}
		if m, err := draw.Path(r); err == nil && m.Err() != nil {
			t.Error(m.Err())
		}
	})
}

// TestNothing: what is not a shutdown is not drawn, and an unknown way is refused.
func TestNothing(t *testing.T) {
	for want, r := range map[string]report.Report{
		"not that of a shutdown":                     {},
		"not that of a shutdown: Run was called":     {NotRun: errors.New("Run was called before")},
		"goes from SERVING to TERMINATED on stopped": jumped(),
	} {
		_, err := draw.Path(r)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("path: error %v, want %q", err, want)
		}
		if r.Outcome != 0 {
			continue
		}
		for _, drawn := range []func(report.Report) (string, error){draw.Sequence, draw.Gantt} {
			if text, err := drawn(r); err == nil || !strings.Contains(err.Error(), want) || text != "" {
				t.Errorf("error %v, want %q; drawn %q", err, want, text)
			}
		}
	}
}

func jumped() report.Report {
	r := stopped(0)
	r.Steps = r.Steps[2:]
	return r
}

// TestAlike: long names that differ at the end are drawn as two, and can be told apart.
func TestAlike(t *testing.T) {
	r := stopped(0, strings.Repeat("the same ", 20)+"one", strings.Repeat("the same ", 20)+"other")
	for kind, drawn := range map[string]func(report.Report) (string, error){"sequence": draw.Sequence, "gantt": draw.Gantt} {
		text, err := drawn(r)
		for _, want := range []string{"the same one", "the same other"} {
			if err != nil || !strings.Contains(text, want) {
				t.Errorf("%s: error %v, %q is not there:\n%s", kind, err, want, text)
			}
		}
	}
}

// TestTold: what the report says beside its steps is drawn as well.
func TestTold(t *testing.T) {
	r := stopped(0, "grpc")
	r.Suspended = 1406 * time.Millisecond
	r.Notes = []report.Note{{Server: "grpc", Text: "1 connection had not finished its handshake"}}
	r.Idle = []report.Note{{Server: "grpc", Text: "2 peers were idle"}}
	sequence, err := draw.Sequence(r)
	gantt, err2 := draw.Gantt(r)
	for _, want := range []string{"Note over P3: 1 connection had not", "Note over P3: 2 peers were idle", "the process was suspended for 1406 ms"} {
		if err != nil || !strings.Contains(sequence, want) {
			t.Errorf("error %v, %q is not in\n%s", err, want, sequence)
		}
	}
	if err2 != nil || !strings.Contains(gantt, ", suspended for 1406 ms, ") {
		t.Errorf("error %v\n%s", err2, gantt)
	}
}

// TestSlowest: the RPCs that took longest are drawn one by one, also from JSON: before the
// GracefulStop that waited for them, and behind the Cancel that ended them. Probes are not.
func TestSlowest(t *testing.T) {
	r := stopped(0, "grpc")
	r.Steps[1].Result, r.Steps[1].Text, r.Steps[1].Duration = report.ResultOK, "", 6*time.Second-r.Steps[1].Start.Sub(r.Triggered)
	at := func(s float64) time.Time { return r.Triggered.Add(time.Duration(s * float64(time.Second))) }
	r.Work = []lastcall.Work{
		{Server: "grpc", Name: "/a.B/Slow", Kind: lastcall.WorkUnary, Completed: 5, Cancelled: 1, Slowest: [3]lastcall.EndedWork{
			{Began: at(-1), Ended: at(6), Fate: "cancelled"}, {Began: at(-60), Ended: at(5.5), Fate: "completed"}}},
		{Server: "grpc", Name: "/health", Kind: lastcall.WorkInfra, Completed: 1, Slowest: [3]lastcall.EndedWork{{Began: at(1), Ended: at(2), Fate: "completed"}}},
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back report.Report
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	sequence, err := draw.Sequence(back)
	rest := strings.ReplaceAll(sequence, "#58;", ":")
	for _, want := range []string{
		"P3-->>P4: #43;5500 ms /a.B/Slow: completed, ran for 65500 ms", "the timer fires",
		"P3--xP4: #43;6000 ms /a.B/Slow: cancelled, ran for 7000 ms", "GracefulStop: ok", "TERMINATED",
	} {
		i := strings.Index(rest, want)
		if i < 0 {
			t.Fatalf("error %v, %q is not in its place in\n%s", err, want, sequence)
		}
		rest = rest[i:]
	}
	gantt, err := draw.Gantt(back)
	for _, want := range []string{"section slowest work\n", "/a.B/Slow of grpc#58; cancelled (before to #43;6000 ms) :crit, b", "/a.B/Slow of grpc#58; completed (before to #43;5500 ms) :done, b"} {
		if err != nil || !strings.Contains(gantt, want) {
			t.Errorf("error %v, %q is not in\n%s", err, want, gantt)
		}
	}
	if strings.Contains(sequence+gantt, "/health") {
		t.Errorf("probes are drawn:\n%s\n%s", sequence, gantt)
	}
}

// TestShortBars: no bar has no length, however long the axis is.
func TestShortBars(t *testing.T) {
	for _, took := range []time.Duration{time.Millisecond, 59 * time.Millisecond, 61 * time.Millisecond, 281 * time.Millisecond, time.Second, time.Minute} {
		r := stopped(1, "grpc")
		r.Ended = r.Triggered.Add(took)
		r.Timer, r.Deadline = r.Ended.Add(20*took), r.Ended.Add(20*took)
		for i := range r.Steps {
			r.Steps[i].Start, r.Steps[i].Duration = r.Triggered, 0
		}
		text, err := draw.Gantt(r)
		if short := regexp.MustCompile(`b\d+, (\d+), (\d+)\n`).FindAllStringSubmatch(text, -1); err != nil || len(short) == 0 || short[0][1] == short[0][2] {
			t.Errorf("%v: error %v\n%s", took, err, text)
		}
	}
}

// TestForcedLooksForced: the forced way differs from the clean one in every kind.
func TestForcedLooksForced(t *testing.T) {
	r := stopped(1, "grpc")
	m, err := draw.Path(r)
	if err != nil {
		t.Fatal(err)
	}
	forced := 0
	for _, s := range m.States {
		if s.Class == viz.Forced {
			forced++
		}
	}
	if forced != 2 {
		t.Errorf("%d states are forced: %+v", forced, m.States)
	}
	if text, err := draw.Sequence(r); err != nil || !strings.Contains(text, "the timer fires, TIMER_EXPIRED") || !strings.Contains(text, "--x") {
		t.Errorf("error %v\n%s", err, text)
	}
	if text, err := draw.Gantt(r); err != nil || !strings.Contains(text, ":crit, ") {
		t.Errorf("error %v\n%s", err, text)
	}
}

// TestSameInstant: what a state has brought about stands behind it, and what has brought it
// about before it, if all of that is of one instant.
func TestSameInstant(t *testing.T) {
	const force, drain = 6 * time.Second, 3 * time.Second
	for name, tt := range map[string]struct {
		cut  int // where the steps of the end begin
		want []string
	}{
		"forced":  {0, []string{"GRACEFUL_SHUTDOWN (", "GracefulStop", "the timer fires", "Stop: ok", "GracefulStop: ok", "TERMINATED", "closer: ok"}},
		"drained": {1, []string{"GRACEFUL_SHUTDOWN (", "GracefulStop: ok", "TERMINATED", "closer: ok"}},
		"later":   {2, []string{"GRACEFUL_SHUTDOWN (", "GracefulStop", "the timer fires", "Stop: ok", "GracefulStop: ok", "phase wait", "TERMINATED", "closer: ok"}},
	} {
		r := stopped(0, "grpc")
		graceful := r.Steps[0]
		call := r.Steps[1]
		call.Result, call.Text, call.Duration = report.ResultOK, "", force-call.Start.Sub(r.Triggered)
		at := func(s report.Step, after time.Duration) report.Step { s.Start = r.Triggered.Add(after); return s }
		timeout, terminated := at(r.Steps[2], force), at(r.Steps[3], force)
		stop, closer := call, call
		stop.Op, stop.Duration, closer.Op, closer.Name, closer.Duration = report.OpStop, 0, report.OpClose, "db", 0
		r.Steps = []report.Step{graceful, call, timeout, at(stop, force), terminated, at(closer, force)}
		switch tt.cut {
		case 1:
			call.Duration = drain - call.Start.Sub(r.Triggered)
			terminated.Transition = fsm.Transition{From: fsm.GracefulShutdown, Event: fsm.Drained, To: fsm.Terminated}
			r.Steps = []report.Step{graceful, call, at(terminated, drain), at(closer, drain)}
		case 2:
			wait := report.Step{Kind: report.KindPhase, Name: "wait", State: fsm.TimerExpired, Phase: lastcall.PhaseWait}
			r.Steps = []report.Step{graceful, call, timeout, at(stop, force), at(wait, force+time.Second), at(terminated, force+2*time.Second), at(closer, force+2*time.Second)}
		}
		text, err := draw.Sequence(r)
		rest := strings.ReplaceAll(text, "#58;", ":")
		for _, want := range tt.want {
			i := strings.Index(rest, " "+want)
			if i < 0 {
				t.Errorf("%s: error %v, %q is not in its place in\n%s", name, err, want, text)
				break
			}
			rest = rest[i+1:]
		}
	}
}

// TestUnfinished: a call whose end nothing tells, as in lines that end too soon.
func TestUnfinished(t *testing.T) {
	r := stopped(0, "grpc")
	r.Steps[1].Result, r.Steps[1].Abandoned, r.Work = 0, true, nil
	if text, err := draw.Sequence(r); err != nil || !strings.Contains(text, "GracefulStop#58; no end is recorded") || strings.Contains(text, "--x") {
		t.Errorf("error %v\n%s", err, text)
	}
	if text, err := draw.Gantt(r); err != nil || !strings.Contains(text, "GracefulStop grpc#58; no end is recorded") {
		t.Errorf("error %v\n%s", err, text)
	}
}

// ExampleSequence draws a report that was written as JSON.
func ExampleSequence() {
	text := `{"version":1,"outcome":"drained","cause":"signal: terminated","path":["SERVING","GRACEFUL_SHUTDOWN","TERMINATED"],
		"triggered":"2026-01-01T12:00:00Z","deadline":"2026-01-01T12:00:25Z","ended":"2026-01-01T12:00:01Z","steps":[
		{"kind":"transition","state":"GRACEFUL_SHUTDOWN","phase":"drain","event":"graceful_shutdown","start":"2026-01-01T12:00:00Z"},
		{"kind":"call","op":"GracefulStop","name":"grpc","state":"GRACEFUL_SHUTDOWN","phase":"drain","start":"2026-01-01T12:00:00Z","duration_seconds":1,"result":"ok"},
		{"kind":"transition","state":"TERMINATED","phase":"close","event":"drained","start":"2026-01-01T12:00:01Z"}]}`
	var r report.Report
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		fmt.Println(err)
	}
	drawn, err := draw.Sequence(r)
	fmt.Print(drawn, err)
	// Output:
	// sequenceDiagram
	//     participant P1 as Trigger
	//     participant P2 as lastcall
	//     participant P3 as server grpc
	//     P1->>P2: #43;0 ms signal#58; terminated
	//     Note over P2: #43;0 ms GRACEFUL_SHUTDOWN (graceful_shutdown)
	//     P2->>P3: #43;0 ms to #43;1000 ms GracefulStop#58; ok
	//     Note over P2: #43;1000 ms TERMINATED (drained)
	//     P2-->>P1: #43;1000 ms drained, exit code 0, deadline #43;25000 ms
	// <nil>
}
