//go:build unix

package examples_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const manifest = "full/deployment.yaml"

// TestDeployment: what lastcall podspec prints is all in the manifest. The command is
// the one in the manifest's first line.
func TestDeployment(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	command, found := strings.CutPrefix(line, "# Written by: lastcall ")
	if !found {
		t.Fatalf("the first line is %q and names no command", line)
	}
	run := exec.CommandContext(t.Context(), "go", append([]string{"-C", "..", "run", "./cmd/lastcall"}, strings.Fields(command)...)...)
	var stderr bytes.Buffer
	run.Stderr = &stderr
	printed, err := run.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", run.Args, err, &stderr)
	}
	want, have := documents(t, printed), documents(t, text)
	if len(want) != 3 || len(have) != len(want) {
		t.Fatalf("%d documents, the command prints %d, want 3", len(have), len(want))
	}
	for i := range want {
		for _, missing := range lacks(fmt.Sprint("document ", i+1), want[i], have[i]) {
			t.Error(missing)
		}
	}
}

// TestLacksCanFail: lacks finds a value, a key and an element.
func TestLacksCanFail(t *testing.T) {
	t.Parallel()
	want := documents(t, []byte("{a: 1, b: {c: 2}, d: [{e: 3}, {e: 4}]}"))[0]
	tests := map[string]struct {
		have    string
		missing int
	}{
		"equal":             {"{a: 1, b: {c: 2}, d: [{e: 3}, {e: 4}]}", 0},
		"more of each kind": {"{a: 1, b: {c: 2, x: 1}, d: [{e: 3, x: 1}, {e: 4}, {e: 5}], x: 1}", 0},
		"another value":     {"{a: 2, b: {c: 2}, d: [{e: 3}, {e: 4}]}", 1},
		"another inside":    {"{a: 1, b: {c: 3}, d: [{e: 3}, {e: 5}]}", 2},
		"a key less":        {"{a: 1, d: [{e: 3}, {e: 4}]}", 1},
		"an element less":   {"{a: 1, b: {c: 2}, d: [{e: 3}]}", 1},
		"another kind":      {"{a: [1], b: 1, d: {e: 3}}", 3},
	}
	for name, test := range tests {
		if got := lacks("", want, documents(t, []byte(test.have))[0]); len(got) != test.missing {
			t.Errorf("%s: %q, want %d", name, got, test.missing)
		}
	}
}

// lacks tells what of want is not in have. Of a list the first elements count.
func lacks(at string, want, have any) (missing []string) {
	switch want := want.(type) {
	case map[string]any:
		inside, ok := have.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %v, want %v", at, have, want)}
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			missing = append(missing, lacks(at+"."+key, want[key], inside[key])...)
		}
	case []any:
		inside, ok := have.([]any)
		if !ok || len(inside) < len(want) {
			return []string{fmt.Sprintf("%s is %v, want %v", at, have, want)}
		}
		for i := range want {
			missing = append(missing, lacks(fmt.Sprintf("%s[%d]", at, i), want[i], inside[i])...)
		}
	default:
		if want != have {
			missing = []string{fmt.Sprintf("%s is %v, want %v", at, have, want)}
		}
	}
	return missing
}

func documents(t *testing.T, text []byte) (all []any) {
	t.Helper()
	for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var document any
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, document)
	}
}

// deployment is what must fit together within the manifest.
type deployment struct {
	Spec struct {
		Template struct {
			Spec struct {
				Grace           int `yaml:"terminationGracePeriodSeconds"`
				SecurityContext struct {
					RunAsNonRoot bool `yaml:"runAsNonRoot"`
					RunAsUser    int  `yaml:"runAsUser"`
				} `yaml:"securityContext"`
				Volumes []struct {
					Name     string
					EmptyDir map[string]any `yaml:"emptyDir"`
				}
				Containers []struct {
					Args  []string
					Ports []struct {
						ContainerPort int `yaml:"containerPort"`
					}
					SecurityContext struct {
						ReadOnly bool `yaml:"readOnlyRootFilesystem"`
					} `yaml:"securityContext"`
					VolumeMounts []struct {
						Name      string
						MountPath string `yaml:"mountPath"`
					} `yaml:"volumeMounts"`
				}
			}
		}
	}
}

// TestDeploymentFitsProgram: the program knows the flags, listens on the ports, has the
// pod's grace period, and writes to the volume only, as a user who is not root.
func TestDeploymentFitsProgram(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	var d deployment
	if err := yaml.Unmarshal(text, &d); err != nil { // the first document
		t.Fatal(err)
	}
	pod := d.Spec.Template.Spec
	container := pod.Containers[0]
	flags := map[string]string{}
	for _, arg := range container.Args {
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		flags[name] = value
	}
	if out, err := exec.CommandContext(t.Context(), filepath.Join(binaries, "full"), append(slices.Clone(container.Args), "-h")...).CombinedOutput(); err != nil {
		t.Errorf("the program does not know the flags: %v\n%s", err, out)
	}
	for i, name := range []string{"addr", "admin", "rest"} {
		if want := fmt.Sprint(":", container.Ports[i].ContainerPort); flags[name] != want {
			t.Errorf("-%s=%s, the pod's port is %s", name, flags[name], want)
		}
	}
	if want := (time.Duration(pod.Grace) * time.Second).String(); flags["grace"] != want || flags["prestop"] != "0s" {
		t.Errorf("-grace=%s -prestop=%s, the pod has %s and no hook", flags["grace"], flags["prestop"], want)
	}
	mount, volume := container.VolumeMounts[0], pod.Volumes[0]
	for _, name := range []string{"guestbook", "events", "traces"} {
		if path.Dir(flags[name]) != mount.MountPath {
			t.Errorf("-%s=%s is not in %s", name, flags[name], mount.MountPath)
		}
	}
	if mount.Name != volume.Name || volume.EmptyDir == nil {
		t.Errorf("mount %+v, volume %+v, want one emptyDir", mount, volume)
	}
	if !container.SecurityContext.ReadOnly || !pod.SecurityContext.RunAsNonRoot {
		t.Errorf("%+v, %+v: want a read-only root and no root", container.SecurityContext, pod.SecurityContext)
	}

	image := instructions(t)
	var entrypoint []string
	if err := json.Unmarshal([]byte(image["ENTRYPOINT"]), &entrypoint); err != nil || len(entrypoint) != 1 {
		t.Errorf("ENTRYPOINT %s, %v: want the exec form and no arguments", image["ENTRYPOINT"], err)
	}
	if user := fmt.Sprintf("%d:%[1]d", pod.SecurityContext.RunAsUser); image["USER"] != user || image["WORKDIR"] != mount.MountPath {
		t.Errorf("USER %s, WORKDIR %s, want %s and %s", image["USER"], image["WORKDIR"], user, mount.MountPath)
	}
}

// instructions returns the instructions of the Dockerfile, of each kind the last.
func instructions(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("full/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		found[name] = rest
	}
	return found
}
