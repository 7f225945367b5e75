package lastcall_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
)

// logKey is a key of log lines: its type, and which lines have it.
type logKey struct {
	kind  string
	lines string
}

// TestDocsLogKeys: docs/report.md lists every key of every line that report.Step.Line
// makes, with its type, and no other.
func TestDocsLogKeys(t *testing.T) {
	_, table, _ := strings.Cut(read(t, "docs/report.md"), "<!-- keys -->\n")
	table, _, _ = strings.Cut(table, "\n\n")
	told := map[string]logKey{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([^|]+) \\| ([^|]+) \\| [^|]").FindAllStringSubmatch(table, -1) {
		lines := strings.Split(row[3], ", ")
		slices.Sort(lines)
		told[row[1]] = logKey{row[2], strings.Join(lines, ", ")}
	}
	made := map[string]logKey{}
	for _, s := range richSteps() {
		for _, a := range s.Line().Attrs {
			k := logKey{typeOf(a.Value), s.Kind.String()}
			if was, ok := made[a.Key]; ok {
				if was.kind != k.kind {
					t.Errorf("%s is a %s in one line, and a %s in a line of kind %v", a.Key, was.kind, k.kind, s.Kind)
				}
				lines := append(strings.Split(was.lines, ", "), k.lines)
				slices.Sort(lines)
				k.lines = strings.Join(slices.Compact(lines), ", ")
			}
			made[a.Key] = k
		}
	}
	for _, key := range slices.Sorted(maps.Keys(made)) {
		if told[key] != made[key] {
			t.Errorf("%s: docs/report.md says %v, and it is %v", key, told[key], made[key])
		}
		delete(told, key)
	}
	if len(told) > 0 {
		t.Errorf("docs/report.md has keys that no line has: %v", told)
	}
}

// richSteps returns steps of every kind, with everything that they can have.
func richSteps() (all []report.Step) {
	at := time.Now()
	work := []lastcall.Work{{Server: "s", Name: "n", Kind: lastcall.WorkUnary, Running: 1, Oldest: at.Add(-time.Minute), Peer: "p", Path: "/"}}
	for i := range 11 {
		work = append(work, lastcall.Work{Server: "s", Name: fmt.Sprint(i), Kind: lastcall.WorkUnary, Running: 1})
	}
	known := report.Report{
		Outcome: report.OutcomeDrained, CauseText: "c", Suspended: time.Second, Path: []fsm.State{fsm.Serving}, Work: work,
		Budget: lastcall.Budget{Total: 20 * time.Second, Settle: 5 * time.Second, Quiet: time.Second, MinSettle: time.Second, Reserve: time.Second},
	}
	for kind := report.Kind(1); !strings.HasPrefix(kind.String(), "Kind("); kind++ {
		s := report.Step{
			Kind: kind, Name: "n", Op: report.OpClose, State: fsm.TimerExpired, Phase: lastcall.PhaseCancel, Remaining: time.Second,
			Transition: fsm.Transition{Event: fsm.Timeout}, Settle: report.SettleQuiet, Result: report.ResultFailed, Text: "t", Stack: "s", Work: work, Report: &known,
			Now: report.Moment{At: at, State: fsm.TimerExpired, Phase: lastcall.PhaseCancel, Elapsed: time.Second, Remaining: time.Second},
		}
		if kind == report.KindTrigger {
			s.Err = &report.EndedError{Op: report.OpWork, Name: "w", Result: report.ResultFailed}
		}
		s.Stacks = []report.Stack{{Of: s.Subject(), File: "f.go", Line: 1}}
		if kind == report.KindProgress {
			s.State = fsm.GracefulShutdown
		}
		if s.IsLogged() {
			all = append(all, s)
		}
	}
	return all
}

// typeOf returns the type of a value in the words of docs/report.md.
func typeOf(v slog.Value) string {
	switch v.Kind() {
	case slog.KindString:
		return "text"
	case slog.KindInt64:
		return "number"
	case slog.KindBool:
		return "boolean"
	case slog.KindDuration:
		return "duration"
	case slog.KindTime:
		return "instant"
	default:
		switch v.Any().(type) {
		case []string:
			return "list of texts"
		case report.RunningWork:
			return "list of work"
		}
		return v.Kind().String()
	}
}

// TestDocsWords: docs/report.md explains every word that report, log and JSON use, and shows
// a summary that is real.
func TestDocsWords(t *testing.T) {
	page := read(t, "docs/report.md")
	words := map[string]string{} // and what they are
	enumerate(words, report.Kind.String)
	enumerate(words, report.Outcome.String)
	enumerate(words, report.Result.String)
	for file, types := range map[string][]string{"report/op.go": {"Op"}, "report/settle.go": {"SettleEnd"}, "work.go": {"WorkKind"}} {
		maps.Copy(words, constants(t, file, types))
	}
	for _, name := range exits(t) {
		words[name] = "exit code"
	}
	if len(words) < 50 {
		t.Fatalf("only %d words were found: %v", len(words), words)
	}
	rows := regexp.MustCompile(`(?m)^\|.*$`).FindAllString(page, -1)
	for word, what := range words {
		if !slices.ContainsFunc(rows, func(row string) bool { return strings.Contains(row, "`"+word+"`") }) {
			t.Errorf("docs/report.md does not explain %q, %s", word, what)
		}
	}
	example := regexp.MustCompile("(?s)<!-- summary: (\\S+) -->\n```\n(.*?)```").FindStringSubmatch(page)
	if example == nil || !strings.Contains(read(t, example[1]), "SUMMARY\n"+example[2]) {
		t.Errorf("the summary in docs/report.md is not that of its transcript: %q", example)
	}
}

// enumerate adds the names of the values of a type.
func enumerate[T ~uint8](words map[string]string, name func(T) string) {
	for v := T(1); !strings.HasSuffix(name(v), fmt.Sprintf("(%d)", v)); v++ {
		words[name(v)] = fmt.Sprintf("%T", v)
	}
}

// constants returns the values of the constants of these types in a file, and their names.
func constants(t *testing.T, file string, types []string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			if of, ok := spec.Type.(*ast.Ident); ok && slices.Contains(types, of.Name) {
				word, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				found[word] = spec.Names[0].Name
			}
		}
		return true
	})
	return found
}

// exits returns the names of the exit codes.
func exits(t *testing.T) (names []string) {
	t.Helper()
	for _, found := range regexp.MustCompile(`(?m)^\t(Exit\w+) += \d`).FindAllStringSubmatch(read(t, "report/exit.go"), -1) {
		names = append(names, found[1])
	}
	if len(names) < 5 {
		t.Fatalf("only the exit codes %q were found", names)
	}
	return names
}
