package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall/kubernetes"
)

// apiFields are the fields that a manifest may have, with their types, as in the
// API of Kubernetes 1.34 (k8s.io/api v0.34: apps/v1 Deployment, core/v1 PodSpec and
// Service, policy/v1 PodDisruptionBudget). A label's key is written *, an item of a list 0.
const apiFields = `
apiVersion string
kind string
metadata.name string
metadata.labels.* string
spec.replicas int
spec.minReadySeconds int
spec.strategy.type string
spec.strategy.rollingUpdate.maxUnavailable int
spec.strategy.rollingUpdate.maxSurge int
spec.selector.matchLabels.* string
spec.template.metadata.labels.* string
spec.template.spec.terminationGracePeriodSeconds int
spec.template.spec.containers.0.name string
spec.template.spec.containers.0.image string
spec.template.spec.containers.0.ports.0.name string
spec.template.spec.containers.0.ports.0.containerPort int
spec.template.spec.containers.0.lifecycle.preStop.sleep.seconds int
spec.template.spec.containers.0.lifecycle.preStop.exec.command.0 string
spec.template.spec.containers.0.startupProbe.grpc.port int
spec.template.spec.containers.0.startupProbe.httpGet.path string
spec.template.spec.containers.0.startupProbe.httpGet.port string
spec.template.spec.containers.0.startupProbe.periodSeconds int
spec.template.spec.containers.0.startupProbe.timeoutSeconds int
spec.template.spec.containers.0.startupProbe.failureThreshold int
spec.template.spec.containers.0.readinessProbe.grpc.port int
spec.template.spec.containers.0.readinessProbe.httpGet.path string
spec.template.spec.containers.0.readinessProbe.httpGet.port string
spec.template.spec.containers.0.readinessProbe.periodSeconds int
spec.template.spec.containers.0.readinessProbe.timeoutSeconds int
spec.template.spec.containers.0.readinessProbe.failureThreshold int
spec.template.spec.containers.0.livenessProbe.grpc.port int
spec.template.spec.containers.0.livenessProbe.httpGet.path string
spec.template.spec.containers.0.livenessProbe.httpGet.port string
spec.template.spec.containers.0.livenessProbe.periodSeconds int
spec.template.spec.containers.0.livenessProbe.timeoutSeconds int
spec.template.spec.containers.0.livenessProbe.failureThreshold int
spec.maxUnavailable int
spec.clusterIP string
spec.selector.* string
spec.ports.0.name string
spec.ports.0.port int
spec.ports.0.targetPort string
`

const label = "app.kubernetes.io/name"

// manifest is what podspec has printed: each document flattened, path to value.
// A pod's spec has the paths that it has in a Deployment.
type manifest []map[string]any

// podspec runs the command, which must succeed, and reads the YAML back.
func podspec(t testing.TB, args ...string) (text string, docs manifest) {
	t.Helper()
	code, text, stderr := runCommand(t.Context(), append([]string{"podspec"}, args...)...)
	if code != 0 || stderr != "" {
		t.Fatalf("podspec %v: exit code %d, stderr %q", args, code, stderr)
	}
	for i, doc := range strings.Split(text, "---\n") {
		prefix := ""
		if i == 0 && !strings.Contains(doc, "\nkind: ") {
			prefix = "spec.template.spec."
		}
		flat, err := readYAML(doc, prefix)
		if err != nil {
			t.Fatalf("podspec %v: %v:\n%s", args, err, doc)
		}
		docs = append(docs, flat)
	}
	return text, docs
}

// readYAML reads the YAML that podspec writes: mappings, lists of mappings, all of
// them two columns to the right of their key, lists of quoted strings in brackets,
// scalars, and comments on lines of their own.
func readYAML(text, prefix string) (map[string]any, error) {
	r := yamlReader{flat: make(map[string]any)}
	for n, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		rest := strings.TrimLeft(line, " ")
		if strings.HasPrefix(rest, "#") {
			continue
		}
		if rest == "" || strings.HasSuffix(rest, " ") {
			return nil, fmt.Errorf("line %d, %q: empty, or with a space at its end", n+1, line)
		}
		r.lines = append(r.lines, yamlLine{n + 1, len(line) - len(rest), rest})
	}
	return r.flat, r.block(0, prefix)
}

type yamlReader struct {
	lines []yamlLine // not read yet
	flat  map[string]any
}

type yamlLine struct {
	number, indent int
	text           string
}

// block reads the lines of one mapping or list, and what is below them.
func (r *yamlReader) block(indent int, path string) error {
	items, keys := 0, 0
	for len(r.lines) > 0 && r.lines[0].indent >= indent {
		line := r.lines[0]
		fail := func(what string) error { return fmt.Errorf("line %d, %q: %s", line.number, line.text, what) }
		if line.indent > indent {
			return fail("indented without a reason")
		}
		if item, ok := strings.CutPrefix(line.text, "- "); ok {
			if keys > 0 {
				return fail("an item in a mapping")
			}
			r.lines[0] = yamlLine{line.number, indent + 2, item}
			if err := r.block(indent+2, fmt.Sprintf("%s%d.", path, items)); err != nil {
				return err
			}
			items++
			continue
		}
		keys++
		key, value, ok := strings.Cut(line.text, ":")
		if !ok || key == "" || items > 0 {
			return fail("no key, or one in a list")
		}
		r.lines = r.lines[1:]
		if value == "" {
			if len(r.lines) == 0 || r.lines[0].indent != indent+2 {
				return fail("nothing below it, by two columns")
			}
			if err := r.block(indent+2, path+key+"."); err != nil {
				return err
			}
			continue
		}
		value, ok = strings.CutPrefix(value, " ")
		if _, twice := r.flat[path+key]; twice || !ok {
			return fail("there twice, or no space before the value")
		}
		list, isList := strings.CutPrefix(value, "[")
		if !isList {
			r.flat[path+key] = readScalar(value)
			continue
		}
		for i, s := range strings.Split(strings.TrimSuffix(list, "]"), ", ") {
			unquoted, err := strconv.Unquote(s)
			if err != nil {
				return fail("no quoted string in a list")
			}
			r.flat[fmt.Sprintf("%s%s.%d", path, key, i)] = unquoted
		}
	}
	return nil
}

// readScalar returns an int, a bool, nil or a string, as YAML 1.1 readers do.
func readScalar(s string) any {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	if unquoted, err := strconv.Unquote(s); err == nil {
		return unquoted
	}
	switch strings.ToLower(s) {
	case "y", "yes", "on", "true", "n", "no", "off", "false":
		return true
	case "null", "~":
		return nil
	}
	return s
}

// TestPodspecFields: every field is one of the API's, of its type.
func TestPodspecFields(t *testing.T) {
	types := make(map[string]string)
	for line := range strings.Lines(strings.TrimSpace(apiFields)) {
		path, typ, _ := strings.Cut(strings.TrimSpace(line), " ")
		types[path] = typ
	}
	seen := make(map[string]bool)
	for _, args := range [][]string{
		{}, {"-prestop", "5s"}, {"-prestop", "5s", "-exec"}, {"-health", "http"},
		{"-kind", "deployment"}, {"-kind", "deployment", "-headless", "-prestop", "3s", "-health", "http"},
		{"-kind", "deployment", "-name", "true", "-image", "123"}, {"-kind", "deployment", "-name", "y", "-image", "localhost:5000/a@sha256:0123"},
	} {
		_, docs := podspec(t, args...)
		for _, doc := range docs {
			for path, value := range doc {
				parts := strings.Split(path, ".")
				for i, p := range parts {
					if _, err := strconv.Atoi(p); err == nil {
						parts[i] = "0"
					}
				}
				path, _, labelled := strings.Cut(strings.Join(parts, "."), "."+label)
				if labelled {
					path += ".*"
				}
				seen[path] = true
				if typ := fmt.Sprintf("%T", value); types[path] != typ {
					t.Errorf("%v: %s is a %s, want %q", args, path, typ, types[path])
				}
			}
		}
	}
	if all := slices.Sorted(maps.Keys(types)); !slices.Equal(all, slices.Sorted(maps.Keys(seen))) {
		t.Errorf("seen are\n%v, want\n%v", slices.Sorted(maps.Keys(seen)), all)
	}
}

const inContainer = "spec.template.spec.containers.0."

// TestPodspecValues: the flags arrive where they belong.
func TestPodspecValues(t *testing.T) {
	tests := map[string]struct {
		args []string
		doc  int
		want map[string]any // nil: absent
	}{
		"by default": {nil, 0, map[string]any{
			"spec.template.spec.terminationGracePeriodSeconds": 30,
			inContainer + "name": "app", inContainer + "image": nil,
			inContainer + "ports.0.name": "main", inContainer + "ports.0.containerPort": 50051, inContainer + "ports.1.name": nil,
			inContainer + "lifecycle.preStop.sleep.seconds": nil, inContainer + "lifecycle.preStop.exec.command.0": nil,
			inContainer + "startupProbe.grpc.port": 50051, inContainer + "startupProbe.periodSeconds": 1, inContainer + "startupProbe.failureThreshold": 60,
			inContainer + "readinessProbe.grpc.port": 50051, inContainer + "livenessProbe.grpc.port": 50051,
			inContainer + "readinessProbe.httpGet.path": nil,
		}},
		"native sleep": {[]string{"-grace", "1m", "-prestop", "5s"}, 0, map[string]any{
			"spec.template.spec.terminationGracePeriodSeconds": 60,
			inContainer + "lifecycle.preStop.sleep.seconds":    5, inContainer + "lifecycle.preStop.exec.command.0": nil,
		}},
		"the image's sleep": {[]string{"-prestop", "5s", "-exec"}, 0, map[string]any{
			inContainer + "lifecycle.preStop.sleep.seconds":  nil,
			inContainer + "lifecycle.preStop.exec.command.0": "sleep", inContainer + "lifecycle.preStop.exec.command.1": "5",
		}},
		"health over HTTP": {[]string{"-health", "http", "-port", "8080"}, 0, map[string]any{
			inContainer + "ports.0.containerPort": 8080, inContainer + "ports.1.name": "health", inContainer + "ports.1.containerPort": 8081,
			inContainer + "readinessProbe.httpGet.path": "/readyz", inContainer + "readinessProbe.httpGet.port": "health",
			inContainer + "livenessProbe.httpGet.path": "/livez", inContainer + "livenessProbe.httpGet.port": "health",
			inContainer + "readinessProbe.grpc.port": nil,
		}},
		"health on the same port": {[]string{"-health", "http", "-port", "8080", "-health-port", "8080"}, 0, map[string]any{
			inContainer + "ports.1.name": nil, inContainer + "readinessProbe.httpGet.port": "main",
		}},
		"gRPC health on its own port": {[]string{"-health-port", "9000"}, 0, map[string]any{
			inContainer + "ports.1.name": "health", inContainer + "ports.1.containerPort": 9000, inContainer + "livenessProbe.grpc.port": 9000,
		}},
		"a Deployment": {[]string{"-kind", "deployment", "-name", "orders", "-image", "ghcr.io/me/orders:v1"}, 0, map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment", "metadata.name": "orders",
			"spec.replicas": 3, "spec.minReadySeconds": 5, "spec.strategy.type": "RollingUpdate",
			"spec.strategy.rollingUpdate.maxUnavailable": 0, "spec.strategy.rollingUpdate.maxSurge": 1,
			"spec.selector.matchLabels." + label: "orders", "spec.template.metadata.labels." + label: "orders",
			inContainer + "name": "orders", inContainer + "image": "ghcr.io/me/orders:v1",
		}},
		"its Service": {[]string{"-kind", "deployment", "-name", "orders", "-port", "81"}, 1, map[string]any{
			"apiVersion": "v1", "kind": "Service", "metadata.name": "orders", "spec.clusterIP": nil,
			"spec.selector." + label: "orders", "spec.ports.0.name": "main", "spec.ports.0.port": 81, "spec.ports.0.targetPort": "main",
		}},
		"its PodDisruptionBudget": {[]string{"-kind", "deployment", "-name", "orders"}, 2, map[string]any{
			"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata.name": "orders",
			"spec.maxUnavailable": 1, "spec.selector.matchLabels." + label: "orders",
		}},
		"a slow start":       {[]string{"-startup", "5m", "-health", "http"}, 0, map[string]any{inContainer + "startupProbe.failureThreshold": 300, inContainer + "startupProbe.httpGet.path": "/readyz"}},
		"ten replicas":       {[]string{"-kind", "deployment", "-replicas", "10"}, 0, map[string]any{"spec.replicas": 10, "spec.minReadySeconds": 5}},
		"a slow rollout":     {[]string{"-kind", "deployment", "-headless"}, 0, map[string]any{"spec.minReadySeconds": 9}},
		"slow with a hook":   {[]string{"-kind", "deployment", "-headless", "-prestop", "8s"}, 0, map[string]any{"spec.minReadySeconds": 8}},
		"a headless Service": {[]string{"-kind", "deployment", "-headless"}, 1, map[string]any{"spec.clusterIP": "None"}},
	}
	for name, tt := range tests {
		text, docs := podspec(t, tt.args...)
		for path, want := range tt.want {
			if got := docs[tt.doc][path]; got != want {
				t.Errorf("%s: %s is %v, want %v, in\n%s", name, path, got, want, text)
			}
		}
	}
}

// TestPodspecComment: the comment explains the budget, and names the command and
// the line of Go that make the same.
func TestPodspecComment(t *testing.T) {
	args := []string{"-kind", "deployment", "-replicas", "2", "-startup", "2m", "-grace", "45s", "-prestop", "3s", "-exec", "-port", "8080", "-health", "http", "-health-port", "9090", "-name", "orders", "-image", "orders:1", "-headless", "-ready-until-drain"}
	text, _ := podspec(t, args...)
	budget, err := kubernetes.Budget(45*time.Second, 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	explained := kubernetes.Explain(budget, 45*time.Second, 3*time.Second)
	if !strings.Contains(text, comment(explained)) {
		t.Errorf("it does not explain the budget:\n%s", text)
	}
	if !strings.Contains(text, "#     kubernetes.Budget(45*time.Second, 3*time.Second)\n") {
		t.Errorf("it has no line of Go:\n%s", text)
	}
	const policy = "#     controller.WithReadyUntilDrain()\n"
	if without, _ := podspec(t); !strings.Contains(text, policy) || strings.Contains(without, policy) {
		t.Errorf("with -ready-until-drain it prints\n%s\nand without\n%s", text, without)
	}
	first, _, _ := strings.Cut(text, "\n")
	again, ok := strings.CutPrefix(first, "# Written by: lastcall podspec ")
	if second, _ := podspec(t, strings.Fields(again)...); !ok || second != text {
		t.Errorf("%q writes\n%s\nand not\n%s", first, second, text)
	}
	if alone, _ := podspecText(t, "-kind", "budget", "-grace", "45s", "-prestop", "3s"); alone != explained {
		t.Errorf("-kind budget prints\n%s\nwant\n%s", alone, explained)
	}
	for _, args := range [][]string{{"-prestop", "5s"}, {"-prestop", "5s", "-exec"}} {
		if text, _ := podspecText(t, args...); !strings.Contains(text, "1.30") {
			t.Errorf("%v: it does not say which Kubernetes has the sleep action:\n%s", args, text)
		}
	}
}

func podspecText(t testing.TB, args ...string) (stdout string, code int) {
	t.Helper()
	code, stdout, stderr := runCommand(t.Context(), append([]string{"podspec"}, args...)...)
	if code != 0 || stderr != "" {
		t.Errorf("podspec %v: exit code %d, stderr %q", args, code, stderr)
	}
	return stdout, code
}

// TestPodspecRollout: with any number of replicas, the last old pod of a headless Service serves
// until a client that asked DNS right before the rollout may ask again, and the rollout is no
// slower than that, in whole seconds, and no faster than proxies are.
func TestPodspecRollout(t *testing.T) {
	for replicas := 1; replicas <= 40; replicas++ {
		for preStop := 0; preStop <= 40; preStop += 4 {
			text, docs := podspec(t, "-kind", "deployment", "-headless", "-replicas", strconv.Itoa(replicas), "-grace", "90s", "-prestop", fmt.Sprintf("%ds", preStop))
			seconds, _ := docs[0]["spec.minReadySeconds"].(int)
			settle := max(5, preStop)
			if last := replicas*seconds + settle; seconds < 5 || last <= 30 || seconds > 5 && last-replicas > 30 {
				t.Errorf("%d replicas, %d s of settle: minReadySeconds is %d, and the last pod serves until %d s in\n%s", replicas, settle, seconds, last, text)
			}
			if got := len(docs); got != 3 && replicas > 1 || got != 2 && replicas == 1 {
				t.Errorf("%d replicas: %d documents", replicas, got)
			}
		}
	}
}

// TestPodspecGolden: whole manifests to the letter. -update rewrites them.
func TestPodspecGolden(t *testing.T) {
	for name, args := range map[string][]string{
		"one":      {"-kind", "deployment", "-replicas", "1"},
		"ready":    {"-kind", "deployment", "-replicas", "1", "-ready-until-drain"},
		"hook":     {"-kind", "deployment", "-replicas", "1", "-prestop", "5s"},
		"headless": {"-kind", "deployment", "-headless", "-startup", "10s"},
		"short":    {"-grace", "8s", "-health", "http"},
	} {
		file := filepath.Join("testdata", "podspec-"+name+".yaml")
		text, _ := podspec(t, args...)
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if text != string(want) {
			t.Errorf("podspec %v prints\n%s\nand not what is in %s; go test ./cmd/lastcall -run Golden -update rewrites it", args, text, file)
		}
	}
}

// TestPodspecProperty: whatever the numbers, the hook ends in time for the budget,
// and the readiness probe sees within the settle that the process leaves.
func TestPodspecProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		grace := rapid.IntRange(0, 100).Draw(rt, "grace")
		preStop := rapid.IntRange(0, 20).Draw(rt, "preStop")
		args := []string{"podspec", "-grace", fmt.Sprintf("%ds", grace), "-prestop", fmt.Sprintf("%ds", preStop)}
		budget, err := kubernetes.Budget(time.Duration(grace)*time.Second, time.Duration(preStop)*time.Second)
		code, text, stderr := runCommand(t.Context(), args...)
		if err != nil {
			if code != exitUsage || !strings.Contains(stderr, err.Error()) {
				rt.Fatalf("exit code %d, stderr %q, want %d and %v", code, stderr, exitUsage, err)
			}
			return
		}
		doc, err := readYAML(text, "spec.template.spec.")
		if err != nil || code != 0 {
			rt.Fatalf("exit code %d, %v in\n%s", code, err, text)
		}
		number := func(path string) int { n, _ := doc[path].(int); return n }
		if got := number("spec.template.spec.terminationGracePeriodSeconds"); got != grace {
			rt.Fatalf("terminationGracePeriodSeconds is %d", got)
		}
		sleep := number(inContainer + "lifecycle.preStop.sleep.seconds")
		if end := time.Duration(sleep)*time.Second + budget.Total; end >= time.Duration(grace)*time.Second {
			rt.Fatalf("the deadline is at %v", end)
		}
		noticed := time.Duration(number(inContainer+"readinessProbe.periodSeconds")*number(inContainer+"readinessProbe.failureThreshold")) * time.Second
		if budget.Settle > 0 && noticed > budget.Settle {
			rt.Fatalf("the probe takes %v, the settle %v", noticed, budget.Settle)
		}
		if budget.Settle >= 3*time.Second && budget.Settle-noticed < 2*time.Second {
			rt.Fatalf("the probe takes %v of %v and leaves no time to the proxies", noticed, budget.Settle)
		}
	})
}

// TestReadYAML: the reader of these tests sees what is wrong.
func TestReadYAML(t *testing.T) {
	good, err := readYAML("a:\n  b:\n    - c: 1\n      d:\n        e: x\n    - c: \"2\"\n  f: [\"g\", \"1\"]\n# i: 1\nh: /p\n", "")
	want := map[string]any{"a.b.0.c": 1, "a.b.0.d.e": "x", "a.b.1.c": "2", "a.f.0": "g", "a.f.1": "1", "h": "/p"}
	if err != nil || !maps.Equal(good, want) {
		t.Errorf("it reads %v, %v, want %v", good, err, want)
	}
	for name, text := range map[string]string{
		"nothing below":        "a:\nb: 1\n",
		"deeper for no cause":  "a: 1\n  b: 2\n",
		"too deep":             "a:\n    b: 1\n",
		"between two levels":   "a:\n  b:\n    c: 1\n   d: 1\n",
		"no key":               "a\n",
		"an empty line":        "a: 1\n\nb: 2\n",
		"twice":                "a: 1\na: 2\n",
		"a trailing space":     "a: 1 \n",
		"a key in a list":      "a:\n  - b: 1\n  c: 1\n",
		"an item in a mapping": "a:\n  b: 1\n  - c: 1\n",
		"no space":             "a:1\n",
		"unquoted":             "a: [b]\n",
	} {
		if flat, err := readYAML(text, ""); err == nil {
			t.Errorf("%s: it reads %v", name, flat)
		}
	}
}
