package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

const (
	minReady = 5  // seconds, until every proxy knows a new endpoint
	askAgain = 30 // seconds, until a client with grpc's DNS resolver may ask again
)

// podTemplate is the spec of a pod, as far as its end is concerned.
const podTemplate = `terminationGracePeriodSeconds: {{.grace}}
containers:
  - name: {{.name}}
{{- if .image}}
    # Its ENTRYPOINT is in exec form: a shell as process 1 keeps SIGTERM to itself.
    image: {{.image}}
{{- end}}
    ports:
      - name: main
        containerPort: {{.port}}
{{- if ne .healthPort .port}}
      - name: health
        containerPort: {{.healthPort}}
{{- end}}
{{- if .preStop}}
    lifecycle:
      preStop:
{{- if .exec}}
        # Runs the sleep of the image, which distroless and scratch images have not.
        # From Kubernetes 1.30 on: sleep: {seconds: {{.preStop}}}
        exec:
          command: ["sleep", "{{.preStop}}"]
{{- else}}
        # Kubernetes 1.30 or later. For older ones: lastcall podspec -exec
        sleep:
          seconds: {{.preStop}}
{{- end}}
{{- end}}
{{nest 4 .probes}}`

// deploymentTemplate is a Deployment that replaces its pods one by one, the new one first, the
// Service in front of it and, with two replicas or more, what keeps node drains and the like
// from taking more than one pod at a time.
const deploymentTemplate = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{.name}}
  labels:
    app.kubernetes.io/name: {{.name}}
spec:
{{nest 2 (comment .replicasNote)}}  replicas: {{.replicas}}
{{nest 2 (comment .minReadyNote)}}  minReadySeconds: {{.minReady}}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
  selector:
    matchLabels:
      app.kubernetes.io/name: {{.name}}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {{.name}}
    spec:
{{nest 6 .pod}}---
apiVersion: v1
kind: Service
metadata:
  name: {{.name}}
  labels:
    app.kubernetes.io/name: {{.name}}
spec:
{{- if .headless}}
  clusterIP: None
{{- end}}
  selector:
    app.kubernetes.io/name: {{.name}}
  ports:
    - name: main
      port: {{.port}}
      targetPort: main
{{if gt .replicas 1 -}}
---
# A node is drained one pod at a time, the next when there is a new one that is ready.
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{.name}}
  labels:
    app.kubernetes.io/name: {{.name}}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      app.kubernetes.io/name: {{.name}}
{{end}}`

// manifest returns the YAML of a pod's spec or of a Deployment.
func (c *podspecConfig) manifest() (string, error) {
	minReady, minReadyNote := c.minReadySeconds()
	data := map[string]any{
		"grace": wholeSeconds(c.grace), "preStop": wholeSeconds(c.preStop), "exec": c.exec, "headless": c.headless, "replicas": c.replicas,
		"name": scalar(c.name), "image": "", "port": c.port, "healthPort": c.healthPort, "probes": c.probes(),
		"minReady": minReady, "minReadyNote": minReadyNote, "replicasNote": c.replicasNote(),
	}
	if c.kind == kindSnippet {
		return fill(podTemplate, data)
	}
	data["image"] = scalar(c.image)
	var err error
	if data["pod"], err = fill(podTemplate, data); err != nil {
		return "", err
	}
	return fill(deploymentTemplate, data)
}

func fill(text string, data map[string]any) (string, error) {
	t, err := template.New("").Option("missingkey=error").Funcs(template.FuncMap{"comment": comment, "nest": nest}).Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, data)
	return b.String(), err
}

func (c *podspecConfig) probes() string {
	failures, note := c.readiness()
	return c.probe("startupProbe", fmt.Sprintf("A start may take %v. Until this one has passed, kubelet asks neither of the others.", c.startup), "/readyz", 1, 1, wholeSeconds(c.startup)) +
		c.probe("readinessProbe", note, "/readyz", 1, 1, failures) +
		c.probe("livenessProbe", "kubelet does not ask it any more once the pod is being deleted.", "/livez", 10, 5, 3)
}

// probe asks every period seconds, for at most timeout seconds, and fails after so many
// failures in a row.
func (c *podspecConfig) probe(name, note, path string, period, timeout, failures int64) string {
	ask := fmt.Sprintf("grpc:\n  port: %d", c.healthPort) // a number: names are for httpGet only
	if c.health == healthHTTP {
		port := "health"
		if c.healthPort == c.port {
			port = "main"
		}
		ask = fmt.Sprintf("httpGet:\n  path: %s\n  port: %s", path, port)
	}
	return comment(note) + name + ":\n" +
		nest(2, fmt.Sprintf("%s\nperiodSeconds: %d\ntimeoutSeconds: %d\nfailureThreshold: %d\n", ask, period, timeout, failures))
}

// readiness returns after how many failures in a row the readiness probe, which asks every
// second, has failed, and a note. A pod that begins to leave by itself, and is not deleted,
// leaves the endpoints through this probe alone: this leaves 2 s of the settle for the
// proxies to follow, if the settle is that long.
func (c *podspecConfig) readiness() (failures int64, note string) {
	if c.budget.Settle == 0 {
		return 3, "There is no settle: a process that ends by itself, without preStop, leaves\nits clients no time. A shorter preStop leaves one."
	}
	failures = min(max(wholeSeconds(c.budget.Settle)-2, 1), 3)
	return failures, fmt.Sprintf("Deletion takes the pod out of the endpoints by itself. If the process ends by\nitself, this does: within %v of the %v that it settles.", time.Duration(failures)*time.Second, c.budget.Settle)
}

// minReadySeconds is how long a new pod must have been ready before the next old one goes, and
// why. A client on grpc's DNS resolver that has asked right before the rollout asks again
// askAgain later at the earliest: the last of the old pods must serve until then.
func (c *podspecConfig) minReadySeconds() (seconds int64, why string) {
	if !c.headless {
		return minReady, "The next pod goes only when every proxy had time to learn of the new one."
	}
	settle := wholeSeconds(c.budget.Settle + c.preStop)
	seconds = max(minReady, max(0, askAgain-settle)/int64(c.replicas)+1)
	return seconds, fmt.Sprintf("Clients on grpc's DNS resolver ask again after %d s at the earliest. The last old pod\nserves %d x %d s and %d s of settle: a faster rollout leaves them with addresses of which\nnone is left.",
		askAgain, c.replicas, seconds, settle)
}

// replicasNote is advice for a single replica.
func (c *podspecConfig) replicasNote() string {
	if c.replicas > 1 {
		return ""
	}
	note := "One replica: a rollout starts the new pod first, but when a node is drained there is no\nother endpoint."
	if c.headless {
		return note
	}
	note += " kube-proxy then uses one that is terminating while its readiness probe\npasses."
	switch {
	case c.untilDrain:
		return note + " It passes until the drain, as the program has WithReadyUntilDrain."
	case c.preStop > 0:
		return note + " It does during preStop, and fails from SIGTERM on."
	default:
		return note + " It fails from SIGTERM on: -ready-until-drain, or a preStop hook (-prestop\n5s), serves longer, and two replicas are better."
	}
}

func wholeSeconds(d time.Duration) int64 { return int64(d / time.Second) }

// scalar quotes a string that YAML would take for something else.
func scalar(s string) string {
	plain := regexp.MustCompile(`^[a-zA-Z/]([-a-zA-Z0-9._/:@]*[a-zA-Z0-9])?$`).MatchString(s)
	other := slices.Contains([]string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}, strings.ToLower(s))
	if plain && !other {
		return s
	}
	return strconv.Quote(s)
}

// comment makes a YAML comment of a text, if there is one.
func comment(text string) string {
	if text == "" {
		return ""
	}
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		b.WriteString(strings.TrimRight("# "+line, " ") + "\n")
	}
	return b.String()
}

// nest puts columns spaces before each line.
func nest(columns int, text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.Repeat(" ", columns) + line)
	}
	return b.String()
}
