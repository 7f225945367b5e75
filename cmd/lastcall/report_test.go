package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lastcall-go/lastcall/report"
)

// transcripts returns the reports of the controller's transcripts as JSON.
func transcripts(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../controller/testdata/*.txt")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d transcripts, %v", len(files), err)
	}
	all := map[string][]byte{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ = bytes.Cut(text, []byte("\nJSON\n"))
		all[strings.TrimSuffix(filepath.Base(name), ".txt")] = text
	}
	return all
}

// TestReport prints the reports of the transcripts: everything that the summary has and
// every step, in any width, and without colour in a pipe.
func TestReport(t *testing.T) {
	for name, text := range transcripts(t) {
		var r report.Report
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := runCommand(t.Context(), "report", file)
		if code != 0 || stderr != "" || !strings.HasPrefix(stdout, r.String()) || strings.Contains(stdout, "\x1b") {
			t.Errorf("%s: exit code %d, %q, and\n%s", name, code, stderr, stdout)
		}
		steps := stdout[len(r.String()):]
		for _, s := range r.Steps {
			if !strings.Contains(steps, "  "+s.String()) && !s.Abandoned {
				t.Errorf("%s: %v is missing in\n%s", name, s, steps)
			}
		}
		_, narrow, _ := runCommand(t.Context(), "report", "-width", "40", file)
		for line := range strings.Lines(narrow) {
			if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > 40 {
				t.Errorf("%s: %d columns in %q", name, n, line)
			}
		}
		if squeeze(narrow) != squeeze(stdout) {
			t.Errorf("%s: the narrow page says\n%s\nand the wide one\n%s", name, narrow, stdout)
		}
	}
}

func squeeze(text string) string { return regexp.MustCompile(`\s+`).ReplaceAllString(text, "") }

// TestReportOfWrongFiles: wrong files are wrong usage, with what is wrong and where.
func TestReportOfWrongFiles(t *testing.T) {
	whole := string(transcripts(t)["failed"])
	for text, want := range map[string]string{
		"":                                   "r.json: it is empty",
		"\n\n  {\"outcome\": \"drained\",\n": "r.json: it ends at line 4, column 1, in the middle of a value: it was not written to its end\n",
		"{\n  \"outcome\": drained}":         "line 2, column 14: invalid character 'd'",
		whole + "}":                          "invalid character '}' after top-level value",
		whole[:len(whole)-4]:                 "in the middle of a value",
		whole[:9]:                            "r.json: it ends at line 1, column 9, in the middle of a value",
		`{"kind":"trig`:                      "r.json: it ends at line 1, column 13, in the middle of a value",
		strings.Replace(whole, `"name":"grpc","op":"Serve","state":"SERVING"`, `"name":"grpc","op":"Serve","state":"SERVIN"`, 1): `step 2: fsm: "SERVIN" is not a state`,
		strings.Replace(whole, `"kind":"phase"`, `"kind":"pause"`, 1):                                                            `step 1: "pause" is not a kind of step`,
		strings.Replace(whole, `"result":"failed"`, `"result":"flawed"`, 1):                                                      `"flawed" is not a result`,
		strings.Replace(whole, `"forced":true`, `"forced":"yes"`, 1):                                                             "forced",
		strings.Replace(whole, `"version":1`, `"version":7`, 1):                                                                  "version 7 is not one that this release reads, which is 1",
		`[]`:                          "r.json: it is neither a report, which has an outcome, nor lines of steps, which have a kind\n",
		`{"outcome":7}`:               "r.json: it is neither a report, which has an outcome, nor lines of steps, which have a kind\n",
		"\xff\xfe{\x00":               "r.json: it is UTF-16; a report is UTF-8",
		strings.Repeat(" ", 64<<20+1): "r.json: it is larger than 64 MB",
		`{"kind":"x"}`:                "line 1: ",
	} {
		file := filepath.Join(t.TempDir(), "r.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, stdout, stderr := runCommand(t.Context(), "report", file); code != exitUsage || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("exit code %d, stdout %q, stderr %q; want %q", code, stdout, stderr, want)
		}
	}
}

// TestReportOfStdin reads a report, and lines with a byte order mark.
func TestReportOfStdin(t *testing.T) {
	const line = "\ufeff" + `{"version":1,"kind":"trigger","name":"trigger","state":"SERVING","phase":"serve","start":"2026-01-01T12:00:00Z","error":"deploy","at":"2026-01-01T12:00:00Z",` +
		`"report":{"outcome":"none","cause":"deploy","begun":"2026-01-01T11:00:00Z","triggered":"2026-01-01T12:00:00Z","deadline":"2026-01-01T12:00:25Z"}}` + "\n"
	for text, want := range map[string]string{string(transcripts(t)["drained"]): "shutdown: drained in 3.55s", line: "shutdown: no outcome yet in 0s of 0s (deploy): the record ends here\n"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "report", "-")
		cmd.Env = append(os.Environ(), asLastcall+"=1")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// FuzzReport: whatever a file has, what is printed fits, and has no control characters.
func FuzzReport(f *testing.F) {
	for _, text := range transcripts(f) {
		f.Add(text)
	}
	f.Add([]byte(`{"outcome":"drained","settle":"x\ny` + "\u202e" + `\u001b[2J","took_seconds":1e300,"steps":[{"kind":"phase","name":"\u0007\n","state":"SERVING","phase":"settle","duration_seconds":9e300,"start":"9999-01-01T12:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := readReport(text)
		if err != nil {
			return
		}
		p := printout{width: leastWidth}
		p.report(r)
		for line := range strings.Lines(p.text.String()) {
			line = strings.TrimSuffix(line, "\n")
			if utf8.RuneCountInString(line) > leastWidth || strings.ContainsFunc(line, func(c rune) bool { return unicode.IsControl(c) || unicode.Is(unicode.Cf, c) }) {
				t.Errorf("%q is not fit for a page", line)
			}
		}
	})
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 1234567 * time.Microsecond: "1.235s", 100*time.Hour + 123*time.Millisecond: "100h0m0s", 1<<63 - 1: "2562048h", -1 << 63: "-2562048h"} {
		if got := short(d); got != want {
			t.Errorf("%d is %q, want %q", d, got, want)
		}
	}
}
