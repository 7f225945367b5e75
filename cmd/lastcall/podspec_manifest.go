package main

import (
	"fmt"
	"strconv"
	"time"
)

// What the names and numbers in a manifest are.
const (
	portName       = "main"
	healthPortName = "health"
	label          = "app.kubernetes.io/name"

	minReady = 5  // seconds, until every proxy knows a new endpoint
	askAgain = 30 // seconds, until a client with grpc's DNS resolver may ask again
)

// podSpec is the spec of a pod, as far as its end is concerned.
func (c *podspecConfig) podSpec() mapping {
	ports := []mapping{{{key: "name", value: portName}, {key: "containerPort", value: c.port}}}
	if c.healthPort != c.port {
		ports = append(ports, mapping{{key: "name", value: healthPortName}, {key: "containerPort", value: c.healthPort}})
	}
	container := mapping{{key: "name", value: c.name}}
	if c.kind == kindDeployment {
		container = append(container, field{key: "image", value: c.image, note: "Its ENTRYPOINT is in exec form: a shell as process 1 keeps SIGTERM to itself."})
	}
	container = append(container, field{key: "ports", value: ports})
	if c.preStop > 0 {
		container = append(container, field{key: "lifecycle", value: mapping{{key: "preStop", value: c.sleep()}}})
	}
	container = append(container,
		field{key: "startupProbe", value: c.probe("/readyz", schedule{period: 1, timeout: 1, failures: wholeSeconds(c.startup)}),
			note: fmt.Sprintf("A start may take %v. Until this one has passed, kubelet asks neither of the others.", c.startup)},
		field{key: "readinessProbe", value: c.probe("/readyz", c.readiness()), note: c.readinessNote()},
		field{key: "livenessProbe", value: c.probe("/livez", schedule{period: 10, timeout: 5, failures: 3}), note: "kubelet does not ask it any more once the pod is being deleted."})
	return mapping{
		{key: "terminationGracePeriodSeconds", value: wholeSeconds(c.grace)},
		{key: "containers", value: []mapping{container}},
	}
}

// sleep is the preStop hook.
func (c *podspecConfig) sleep() mapping {
	seconds := wholeSeconds(c.preStop)
	if c.exec {
		return mapping{{
			key: "exec", value: mapping{{key: "command", value: []string{"sleep", strconv.FormatInt(seconds, 10)}}},
			note: "Runs the sleep of the image, which distroless and scratch images have not.\nFrom Kubernetes 1.30 on: sleep: {seconds: " + strconv.FormatInt(seconds, 10) + "}",
		}}
	}
	return mapping{{
		key: "sleep", value: mapping{{key: "seconds", value: seconds}},
		note: "Kubernetes 1.30 or later. For older ones: lastcall podspec -exec",
	}}
}

// schedule says when a probe asks.
type schedule struct{ period, timeout, failures int64 } // seconds, seconds, in a row

// readiness is the schedule of the readiness probe. A pod that begins to leave by
// itself, and is not deleted, leaves the endpoints through this probe alone: within
// period times failures, which leaves 2 s of the settle for the proxies to follow,
// if the settle is that long.
func (c *podspecConfig) readiness() schedule {
	s := schedule{period: 1, timeout: 1, failures: 3}
	if settle := wholeSeconds(c.budget.Settle); settle > 0 {
		s.failures = min(max(settle-2, 1), 3)
	}
	return s
}

func (c *podspecConfig) readinessNote() string {
	if c.budget.Settle == 0 {
		return "There is no settle: a process that ends by itself, without preStop, leaves\nits clients no time. A shorter preStop leaves one."
	}
	r := c.readiness()
	return fmt.Sprintf("Deletion takes the pod out of the endpoints by itself. If the process ends by\nitself, this does: within %v of the %v that it settles.", time.Duration(r.period*r.failures)*time.Second, c.budget.Settle)
}

// probe is a readiness or liveness probe.
func (c *podspecConfig) probe(path string, s schedule) mapping {
	ask := field{key: "grpc", value: mapping{{key: "port", value: c.healthPort}}} // a number: names are for httpGet only
	if c.health == healthHTTP {
		name := healthPortName
		if c.healthPort == c.port {
			name = portName
		}
		ask = field{key: "httpGet", value: mapping{{key: "path", value: path}, {key: "port", value: name}}}
	}
	return mapping{ask,
		{key: "periodSeconds", value: s.period},
		{key: "timeoutSeconds", value: s.timeout},
		{key: "failureThreshold", value: s.failures},
	}
}

// deployment is a Deployment that replaces its pods one by one, the new one first.
func (c *podspecConfig) deployment() mapping {
	labels := mapping{{key: label, value: c.name}}
	seconds, why := c.minReadySeconds()
	return mapping{
		{key: "apiVersion", value: "apps/v1"},
		{key: "kind", value: "Deployment"},
		{key: "metadata", value: mapping{{key: "name", value: c.name}, {key: "labels", value: labels}}},
		{key: "spec", value: mapping{
			{key: "replicas", value: c.replicas, note: c.replicasNote()},
			{key: "minReadySeconds", value: seconds, note: why},
			{key: "strategy", value: mapping{
				{key: "type", value: "RollingUpdate"},
				{key: "rollingUpdate", value: mapping{{key: "maxUnavailable", value: 0}, {key: "maxSurge", value: 1}}},
			}},
			{key: "selector", value: mapping{{key: "matchLabels", value: labels}}},
			{key: "template", value: mapping{
				{key: "metadata", value: mapping{{key: "labels", value: labels}}},
				{key: "spec", value: c.podSpec()},
			}},
		}},
	}
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

// disruption keeps node drains and the like from taking more than one pod at a time.
func (c *podspecConfig) disruption() mapping {
	labels := mapping{{key: label, value: c.name}}
	return mapping{
		{key: "apiVersion", value: "policy/v1", note: "A node is drained one pod at a time, the next when there is a new one that is ready."},
		{key: "kind", value: "PodDisruptionBudget"},
		{key: "metadata", value: mapping{{key: "name", value: c.name}, {key: "labels", value: labels}}},
		{key: "spec", value: mapping{
			{key: "maxUnavailable", value: 1},
			{key: "selector", value: mapping{{key: "matchLabels", value: labels}}},
		}},
	}
}

// service is the Service in front of the Deployment.
func (c *podspecConfig) service() mapping {
	spec := mapping{}
	if c.headless {
		spec = append(spec, field{key: "clusterIP", value: "None"})
	}
	spec = append(spec,
		field{key: "selector", value: mapping{{key: label, value: c.name}}},
		field{key: "ports", value: []mapping{{
			{key: "name", value: portName}, {key: "port", value: c.port}, {key: "targetPort", value: portName},
		}}})
	return mapping{
		{key: "apiVersion", value: "v1"},
		{key: "kind", value: "Service"},
		{key: "metadata", value: mapping{{key: "name", value: c.name}, {key: "labels", value: mapping{{key: label, value: c.name}}}}},
		{key: "spec", value: spec},
	}
}

func wholeSeconds(d time.Duration) int64 { return int64(d / time.Second) }
