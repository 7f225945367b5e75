package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/kubernetes"
)

const podspecHelp = `usage: lastcall podspec [flags]

Prints, as YAML, the part of a pod's spec that a shutdown budget depends on: the
grace period, the preStop hook and the probes; with the budget explained, and the
line of Go that makes the same budget, in a comment. A Deployment also gets the
numbers of a rollout that loses nothing.

kinds (-kind):
  snippet     goes into spec.template.spec of a Deployment (default)
  deployment  a whole Deployment, its Service and, with two replicas or more, its
              PodDisruptionBudget
  budget      the explanation alone, as text

Without -prestop there is no hook: the server settles by itself, which covers the
ends that no preStop hook sees as well. Numbers that leave no time for a drain are
wrong usage, and the error names the shortest grace period that does.
`

// What -kind may be.
const (
	kindSnippet    = "snippet"
	kindDeployment = "deployment"
	kindBudget     = "budget"
)

// What -health may be.
const (
	healthGRPC = "grpc"
	healthHTTP = "http"
)

// podspecConfig is what the flags of podspec say.
type podspecConfig struct {
	kind           string
	grace, preStop time.Duration
	untilDrain     bool // the program has controller.WithReadyUntilDrain
	exec           bool // preStop runs the image's sleep
	port           int
	health         string
	healthPort     int // 0 until check: -health-port was not given
	name           string
	image          string
	headless       bool
	replicas       int
	startup        time.Duration // how long a start may take

	budget lastcall.Budget // set by check
}

func defaultPodspec() podspecConfig {
	return podspecConfig{
		kind: kindSnippet, grace: 30 * time.Second, port: 50051, health: healthGRPC,
		name: "app", image: "registry.example.com/app:latest", replicas: 3, startup: time.Minute,
	}
}

// maxStartup is more than any start takes.
const maxStartup = 24 * time.Hour

// defaultHealthPort is that of -health http.
const defaultHealthPort = 8081

const maxPort = 65535

func bindPodspec(flags *flag.FlagSet) func(context.Context, shell, []string) (int, error) {
	c := defaultPodspec()
	flags.StringVar(&c.kind, "kind", c.kind, "`kind` of text: snippet, deployment or budget (default "+c.kind+")")
	durationFlag(flags, &c.grace, "grace", "`time` of terminationGracePeriodSeconds, in whole seconds")
	durationFlag(flags, &c.preStop, "prestop", "`time` that a preStop hook sleeps before SIGTERM, in whole seconds; 0: no hook")
	flags.BoolVar(&c.exec, "exec", false, "let preStop run the image's sleep, for Kubernetes before 1.30")
	flags.BoolVar(&c.untilDrain, "ready-until-drain", false, "readiness passes until the drain after a signal, for Services all of whose pods may be deleted at once")
	numberFlag(flags, &c.port, "port", "port", maxPort, fmt.Sprintf("`number` of the port that is served (default %d)", c.port))
	flags.StringVar(&c.health, "health", c.health, "`way` the probes ask: grpc (health service) or http (/readyz, /livez) (default "+c.health+")")
	numberFlag(flags, &c.healthPort, "health-port", "port", maxPort, fmt.Sprintf("`number` of the port that the probes ask (default: that of -port with grpc, %d with http)", defaultHealthPort))
	flags.StringVar(&c.name, "name", c.name, "`name` of container, Deployment and Service (default "+c.name+")")
	flags.StringVar(&c.image, "image", c.image, "`name` of the container's image, for -kind deployment (default "+c.image+")")
	flags.BoolVar(&c.headless, "headless", false, "a headless Service, and a rollout slow enough for clients that ask DNS, for -kind deployment")
	numberFlag(flags, &c.replicas, "replicas", "number", math.MaxInt32, fmt.Sprintf("`number` of pods, for -kind deployment (default %d)", c.replicas))
	durationFlag(flags, &c.startup, "startup", "`time` that a start may take until every server accepts work, in whole seconds")
	return func(_ context.Context, sh shell, _ []string) (int, error) {
		given := make(map[string]bool)
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		if err := c.check(given); err != nil {
			return 0, usageError{err}
		}
		text, err := c.text()
		if err != nil {
			return 0, err
		}
		_, err = io.WriteString(sh.stdout, text)
		return 0, err
	}
}

// numberFlag reads a number from 1 to most.
func numberFlag(flags *flag.FlagSet, to *int, name, what string, most int, usage string) {
	flags.Func(name, usage, func(text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > most {
			return fmt.Errorf("it must be a %s, 1 to %d", what, most)
		}
		*to = n
		return nil
	})
}

// check returns what is wrong with the flags, and sets what follows from them.
func (c *podspecConfig) check(given map[string]bool) error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch c.kind {
	case kindSnippet, kindDeployment, kindBudget:
	default:
		errs = append(errs, unknown("-kind", c.kind, []string{kindSnippet, kindDeployment, kindBudget}))
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		switch deployment := name == "image" || name == "headless" || name == "replicas"; {
		case deployment && c.kind != kindDeployment:
			fail("-%s is for -kind %s, not for -kind %s", name, kindDeployment, c.kind)
		case c.kind == kindBudget && !slices.Contains([]string{"kind", "grace", "prestop"}, name):
			fail("-%s is for -kind %s and %s, not for -kind %s", name, kindSnippet, kindDeployment, kindBudget)
		}
	}
	switch c.health {
	case healthGRPC, healthHTTP:
	default:
		errs = append(errs, unknown("-health", c.health, []string{healthGRPC, healthHTTP}))
	}
	if !regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`).MatchString(c.name) {
		fail("-name %q is not a name for a Service: at most 63 of a-z, 0-9 and -, a letter first, no - last", c.name)
	}
	if !regexp.MustCompile(`^[a-zA-Z0-9]([-a-zA-Z0-9._/:@]*[a-zA-Z0-9])?$`).MatchString(c.image) {
		fail("-image %q is not a name of an image, such as %s", c.image, defaultPodspec().image)
	}
	if c.startup < time.Second || c.startup%time.Second != 0 || c.startup > maxStartup {
		fail("-startup is %v, must be whole seconds, 1s to %v", c.startup, maxStartup)
	}
	if c.exec && c.preStop == 0 {
		fail("-exec is for a preStop hook, but -prestop is %v", c.preStop)
	}
	var err error
	if c.budget, err = kubernetes.Budget(c.grace, c.preStop); err != nil {
		errs = append(errs, err)
	}
	switch {
	case c.healthPort != 0:
	case c.health == healthHTTP:
		c.healthPort = defaultHealthPort
	default:
		c.healthPort = c.port
	}
	return errors.Join(errs...)
}

// text is what the command prints.
func (c *podspecConfig) text() (string, error) {
	text := kubernetes.Explain(c.budget, c.grace, c.preStop)
	if c.kind == kindBudget {
		return text, nil
	}
	text = comment(fmt.Sprintf("Written by: %s\n\nThe same budget in the program:\n\n    %s\n\n%s%s", c.command(), c.goLine(), c.policy(), text))
	if c.kind == kindSnippet {
		text += "#\n# Goes into spec.template.spec of a Deployment.\n"
	}
	manifest, err := c.manifest()
	return text + manifest, err
}

// command is the command line that prints the same.
func (c *podspecConfig) command() string {
	d := defaultPodspec()
	healthPort := c.port
	if c.health == healthHTTP {
		healthPort = defaultHealthPort
	}
	var b strings.Builder
	b.WriteString("lastcall podspec")
	option := func(name string, value, byDefault any) {
		switch value {
		case byDefault:
		case true:
			fmt.Fprintf(&b, " -%s", name)
		default:
			fmt.Fprintf(&b, " -%s %v", name, value)
		}
	}
	option("kind", c.kind, d.kind)
	fmt.Fprintf(&b, " -grace %v -prestop %v", c.grace, c.preStop)
	option("exec", c.exec, d.exec)
	option("ready-until-drain", c.untilDrain, d.untilDrain)
	option("port", c.port, d.port)
	option("health", c.health, d.health)
	option("health-port", c.healthPort, healthPort)
	option("name", c.name, d.name)
	option("image", c.image, d.image)
	option("headless", c.headless, d.headless)
	option("replicas", c.replicas, d.replicas)
	option("startup", c.startup, d.startup)
	return b.String()
}

// policy is what -ready-until-drain adds to the program.
func (c *podspecConfig) policy() string {
	if !c.untilDrain {
		return ""
	}
	return "What probes hear, an option of controller.New:\n\n    controller.WithReadyUntilDrain()\n\n"
}

// goLine is the expression that makes the budget in a program.
func (c *podspecConfig) goLine() string {
	inGo := func(d time.Duration) string {
		if d == 0 {
			return "0"
		}
		return fmt.Sprintf("%d*time.Second", d/time.Second)
	}
	return fmt.Sprintf("kubernetes.Budget(%s, %s)", inGo(c.grace), inGo(c.preStop))
}
