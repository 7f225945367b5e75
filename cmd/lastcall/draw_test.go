package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall/internal/proptest"
	"github.com/lastcall-go/lastcall/report"
)

// TestDraw: a demo's report is drawn from its file as it is drawn by the demo, and the
// drawings tell what the report tells.
func TestDraw(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "report.json")
	code, shown, stderr := runCommand(t.Context(), append([]string{"demo", "-report", file, "-draw", "sequence"}, roomy...)...)
	if code != report.ExitOK || stderr != "" {
		t.Fatalf("demo: exit code %d, stderr %q", code, stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if err := proptest.TrueDrawings(r); err != nil {
		t.Error(err)
	}
	for as, begins := range map[string]string{"sequence": "sequenceDiagram\n", "gantt": "gantt\n", "path": "---\ntitle: \"drained, exit code 0, "} {
		code, stdout, stderr := runCommand(t.Context(), "draw", "-as", as, file)
		if code != 0 || stderr != "" || !strings.HasPrefix(stdout, begins) {
			t.Errorf("-as %s: exit code %d, stderr %q, stdout\n%s", as, code, stderr, stdout)
		}
		// The demo draws by the monotonic clock, and the file has that of the wall.
		times := regexp.MustCompile(`[0-9.]+ ms`)
		if as == "sequence" && !strings.HasSuffix(times.ReplaceAllString(shown, "T"), "\n"+times.ReplaceAllString(stdout, "T")) {
			t.Errorf("the demo has not shown\n%s\nbut\n%s", stdout, shown)
		}
	}
	if _, stdout, _ := runCommand(t.Context(), "draw", "-format", "dot", file); !strings.HasPrefix(stdout, "digraph") {
		t.Errorf("-format dot:\n%s", stdout)
	}
}

// TestDrawLines draws what an observer recorded, and refuses what is not that.
func TestDrawLines(t *testing.T) {
	const line = `{"version":1,"kind":"trigger","name":"trigger","state":"SERVING","phase":"serve","start":"2026-01-01T12:00:00Z","error":"signal: terminated","at":"2026-01-01T12:00:00Z",` +
		`"report":{"outcome":"none","cause":"signal: terminated","begun":"2026-01-01T11:00:00Z","triggered":"2026-01-01T12:00:00Z","deadline":"2026-01-01T12:00:25Z"}}` + "\n"
	file := filepath.Join(t.TempDir(), "run.jsonl")
	for text, want := range map[string]string{
		line + `{"version":1,"kind":"transition","state":"GRACEFUL_SHUTDOWN","phase":"drain","event":"graceful_shutdown","start":"2026-01-01T12:00:05Z","at":"2026-01-01T12:00:05Z"}` + "\n": "+5000 ms GRACEFUL_SHUTDOWN (graceful_shutdown)\n",
		line + line:                "run.jsonl: report: line 2: a second trigger",
		`{"kind":"phase"}`:         "run.jsonl: report: ",
		"":                         "run.jsonl: it is empty",
		`{"cause":"?"}`:            "neither a report, which has an outcome",
		`{"outcome":"none"}`:       "run.jsonl: draw: the report is not that of a shutdown",
		`{"outcome":"vanished"}`:   `"vanished" is not an outcome`,
		`{"outcome":"none"} hello`: "invalid character 'h'",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := runCommand(t.Context(), "draw", "-as", "sequence", file)
		out := strings.ReplaceAll(stdout, "#43;", "+") + stderr
		if wantCode := map[bool]int{true: 0, false: exitUsage}[strings.HasPrefix(want, "+")]; code != wantCode || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d, want %q in\n%s", text, code, want, out)
		}
	}
}
