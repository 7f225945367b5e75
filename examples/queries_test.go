package examples_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/lastcall-go/lastcall/promadapter"
)

// exist returns the metrics of promadapter, with their labels.
func exist(t *testing.T) map[string][]string {
	t.Helper()
	descs := make(chan *prometheus.Desc, 100)
	promadapter.New().Describe(descs)
	close(descs)
	all := map[string][]string{}
	for d := range descs {
		m := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{(.*)\}\}$`).FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("%v", d)
		}
		all[m[1]] = append(strings.Split(m[2], ","), "job", "instance", model.MetricNameLabel)
	}
	return all
}

// check parses a query, and returns what is wrong with it.
func check(query string, metrics map[string][]string) (wrong []string) {
	for name, value := range map[string]string{"$__rate_interval": "1m", "$__range": "1h"} {
		query = strings.ReplaceAll(query, name, value)
	}
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return []string{err.Error()}
	}
	named := 0
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if s, ok := node.(*parser.VectorSelector); ok {
			named++
			labels, ok := metrics[s.Name]
			if !ok {
				wrong = append(wrong, s.Name+" does not exist")
			}
			for _, m := range s.LabelMatchers {
				if ok && !slices.Contains(labels, m.Name) {
					wrong = append(wrong, s.Name+" has no label "+m.Name)
				}
			}
		}
		return nil
	})
	if named == 0 {
		wrong = append(wrong, "it names no metric")
	}
	return wrong
}

// The rules of promadapter parse, and ask for what exists.
func TestAlerts(t *testing.T) {
	groups, errs := rulefmt.ParseFile("../promadapter/rules.yml", false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.Default())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	metrics := exist(t)
	rules := 0
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			rules++
			if wrong := check(r.Expr, metrics); len(wrong) > 0 {
				t.Errorf("%s: %q", r.Alert, wrong)
			}
			if !strings.Contains(string(page), "| `"+r.Alert+"` |") {
				t.Errorf("docs/metrics.md does not list %s", r.Alert)
			}
		}
	}
	if listed := strings.Count(string(page), "\n| `Lastcall"); rules == 0 || listed != rules {
		t.Errorf("%d rules, and docs/metrics.md lists %d", rules, listed)
	}
}

// The panels of the dashboard ask for what exists, and it shows every metric but those of
// whose instants others tell.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../promadapter/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Query string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	metrics := exist(t)
	if len(d.Panels) == 0 {
		t.Error("no panel")
	}
	for _, p := range d.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("%s: no query", p.Title)
		}
		for _, q := range p.Targets {
			if wrong := check(q.Expr, metrics); len(wrong) > 0 {
				t.Errorf("%s: %q", p.Title, wrong)
			}
		}
	}
	for _, v := range d.Templating.List {
		if inner, is := strings.CutPrefix(v.Query, "label_values("); is {
			metric, _, _ := strings.Cut(inner, ", ")
			if wrong := check(metric, metrics); len(wrong) > 0 {
				t.Errorf("variable %s: %q", v.Name, wrong)
			}
		}
	}
	for name := range metrics {
		if !strings.Contains(string(text), name) && !strings.HasSuffix(name, "_timestamp_seconds") {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// What is wrong with a query is found.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	metrics := exist(t)
	for query, want := range map[string]string{
		"lastcall_redy == 0":           "does not exist",
		`lastcall_ready{typo="x"} > 0`: "has no label typo",
		"lastcall_ready ==":            "parse error",
		"vector(1)":                    "names no metric",
	} {
		if wrong := check(query, metrics); len(wrong) != 1 || !strings.Contains(wrong[0], want) {
			t.Errorf("%s: %q, want %q", query, wrong, want)
		}
	}
}
