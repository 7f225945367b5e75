package shutdowntest

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"net"
	"net/http"

	"google.golang.org/grpc"

	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report/draw"
)

// Load is a kind of call that clients make, or a setting of the check.
type Load func(*kit)

// GRPC returns a load: calls on a connection to the listener of that name. One call of
// the function is one call of a client; it returns what the client got. The clients may
// share a connection, and the function runs on many goroutines. It passes its context on.
// A call that takes the same time each time is judged best: give each kind of call a load
// of its own. If answers differ in length, or take longer than a minute, the function
// checks its answer, and returns an error for one that is not whole.
func GRPC(listener string, call func(ctx context.Context, cc *grpc.ClientConn) error) Load {
	return func(k *kit) { k.add(&load{listener: listener, grpc: call}) }
}

// HTTP is GRPC for requests. Hosts do not matter: each URL gets to the listener. The client
// belongs to one call, and its requests end with it, whatever their context.
func HTTP(listener string, call func(ctx context.Context, c *http.Client) error) Load {
	return func(k *kit) { k.add(&load{listener: listener, http: call}) }
}

// Raw is GRPC for a protocol of its own: each call has a connection, which is closed
// after it. An error says that the client did not get its whole answer, and knows it.
func Raw(listener string, call func(ctx context.Context, conn net.Conn) error) Load {
	return func(k *kit) { k.add(&load{listener: listener, raw: call}) }
}

// Probe asks a path for readiness over HTTP, all the time, as Kubernetes does. grpc.health.v1 of a
// listener with a GRPC load is watched without that.
func Probe(listener, path string) Load {
	return func(k *kit) { k.add(&load{listener: listener, probe: path}) }
}

// Without leaves a rule out, and says why. A name that is not one of a rule, or no reason,
// fails the test.
func Without(rule, reason string) Load {
	return func(k *kit) {
		known := slices.ContainsFunc(k.rules, isRule(rule))
		if !known || reason == "" {
			k.wrong = append(k.wrong, fmt.Sprintf("Without(%q, %q): want the name of a rule (%s), and a reason", rule, reason, names(k.rules)))
		}
		k.rules = slices.DeleteFunc(k.rules, isRule(rule))
		k.without = append(k.without, fmt.Sprintf("%s (%s)", rule, reason))
	}
}

// WithBudget sets the budget of every check, which is drawn without it; that of
// [CheckServer] is then [lastcall.DefaultBudget].
func WithBudget(b lastcall.Budget) Load {
	return func(k *kit) {
		if err := b.Validate(); err != nil {
			k.wrong = append(k.wrong, err.Error())
		}
		k.budget = &b
	}
}

// WithTLS has the clients of a listener speak TLS, and HTTP/2 if the server does. An HTTP
// load then asks for https URLs.
func WithTLS(listener string, config *tls.Config) Load {
	return func(k *kit) {
		if k.tls[listener] = config; config == nil {
			k.wrong = append(k.wrong, fmt.Sprintf("WithTLS(%q) was given a nil config", listener))
		}
	}
}

// RealTime has the checks run over TCP and in real time, and says why: the service does
// something that no bubble of testing/synctest can hold. Without -rapid.checks there are
// then 10 of them. Such a test must not run in parallel to others.
func RealTime(reason string) Load {
	return func(k *kit) {
		if k.real = reason; reason == "" {
			k.wrong = append(k.wrong, "RealTime needs a reason")
		}
	}
}

// Check shuts the service down in random ways, under random load, and fails the test when
// a rule is broken. build is called once for each check, perhaps in a bubble of
// testing/synctest; it must make everything anew, on the listeners of the Env, and return
// the controller before Run. Check adds an observer, a worker, a closer and the source of
// signals to it. It returns when all checks are over.
func Check(t *testing.T, build func(*Env) *controller.Controller, loads ...Load) {
	t.Helper()
	newKit(loads, func(k *kit) { k.build = build }).check(t, t)
}

// CheckServer is Check for a service without a controller. build starts it, and returns
// what its main calls when it is told to go. That is given a context with the budget as its
// deadline, and has to return by then: that of [lastcall.DefaultBudget], or of [WithBudget].
func CheckServer(t *testing.T, build func(*Env) (stop func(context.Context)), loads ...Load) {
	t.Helper()
	newKit(loads, ofServer(build)).check(t, t)
}

func ofServer(build func(*Env) func(context.Context)) func(*kit) {
	return func(k *kit) {
		b := lastcall.DefaultBudget()
		k.buildServer, k.budget = build, &b
	}
}

// kit is one call of Check.
type kit struct {
	build       func(*Env) *controller.Controller
	buildServer func(*Env) func(context.Context)
	loads       []*load
	rules       []rule
	without     []string
	wrong       []string
	said        []string         // what the test does not ask
	sure        bool             // enough calls were made in calm to call a failure one
	alone       bool             // no other test runs
	stuck       time.Duration    // how long a check in virtual time may take in real time
	ended       bool             // a check could not be made: no others are
	real        string           // why real time; "": virtual time
	budget      *lastcall.Budget // the service's own; nil: that of Env
	tls         map[string]*tls.Config
}

func newKit(loads []Load, build func(*kit)) *kit {
	k := &kit{rules: rules(), tls: map[string]*tls.Config{}, stuck: stuckTime}
	build(k)
	if k.build == nil && k.buildServer == nil {
		k.wrong = append(k.wrong, "the function that builds the service is nil")
	}
	for i, l := range loads {
		if l == nil {
			k.wrong = append(k.wrong, fmt.Sprintf("load %d is nil", i+1))
			continue
		}
		l(k)
	}
	return k
}

func (k *kit) add(l *load) {
	kind := "raw"
	switch {
	case l.grpc != nil:
		kind = "gRPC"
	case l.http != nil:
		kind = "HTTP"
	case l.probe != "":
		kind = "probe " + l.probe
	case l.raw == nil:
		k.wrong = append(k.wrong, fmt.Sprintf("a load for the listener %q has no function to call, and no path", l.listener))
	}
	l.fails = map[string]bool{}
	l.name = fmt.Sprintf("%d: %s to %s", len(k.loads)+1, kind, l.listener)
	k.loads = append(k.loads, l)
}

func isRule(name string) func(rule) bool { return func(r rule) bool { return r.name == name } }

func names(rules []rule) string {
	var all []string
	for _, r := range rules {
		all = append(all, r.name)
	}
	return strings.Join(all, ", ")
}

// check calibrates, and then has rapid draw checks. Failures go to tb; t is what bubbles
// need.
func (k *kit) check(tb rapid.TB, t *testing.T) {
	tb.Helper()
	if len(k.wrong) > 0 {
		tb.Fatalf("shutdowntest: %s", strings.Join(k.wrong, "; "))
	}
	how := "in virtual time, on listeners in memory"
	if k.real != "" {
		how = "over TCP, in real time: " + k.real
		if !checksGiven() {
			how += fmt.Sprintf("; of the checks that rapid counts only the first %d run (-rapid.checks runs all)", realChecks)
		}
	}
	for _, w := range k.without {
		how += "; without the rule " + w
	}
	tb.Logf("shutdowntest: %s", how)
	k.alone = alone(t)
	if err := k.calibrate(t, calmCalls); err != nil {
		tb.Fatalf("shutdowntest: %s", inCalm(err))
	}
	for _, said := range k.said {
		tb.Logf("shutdowntest: %s", said)
	}
	ran, failed := 0, map[string]failure{}
	rapid.Check(tb, func(rt *rapid.T) {
		p := rapid.Custom(k.drawPlan).Draw(rt, "a check")
		// What happens in the same instant happens in any order, so the same plan may end in
		// another way the next time. One that has failed once has failed.
		key := fmt.Sprintf("%+v", *p)
		if _, before := failed[key]; !before && !k.ended {
			if ran++; k.real != "" && ran > realChecks && !checksGiven() {
				return
			}
			if f := k.one(t, p); f != (failure{}) {
				failed[key] = f
			}
		}
		if f, ok := failed[key]; ok {
			rt.Logf("%s\n(If it does not fail again, its order within an instant was rare: repeat it with -count=100)\n%s", f.text, f.story)
			rt.Fatalf("shutdowntest: %s", f.rules) // rapid prints it twice
		}
	})
}

// failure is how a check has failed.
type failure struct{ rules, text, story string }

// one runs one check and judges it. Before the first failure it learns more of the calls,
// and judges again: two calls do not tell how much they vary.
func (k *kit) one(t *testing.T, p *plan) failure {
	s, broken, err := k.try(t, p)
	if err == nil && len(broken) > 0 && !k.sure {
		if err := k.calibrate(t, sureCalls); err != nil {
			return failure{rules: "a call in calm failed", text: inCalm(err)}
		}
		k.sure = true
		// What the process shares, such as a pool, may have grown; in a bubble no goroutine is
		// shared. What the service leaves it leaves again: the same check tells, made anew.
		grown := len(s.files) > 0 || k.real != "" && len(s.left) > 0
		if s.files = nil; k.real != "" {
			s.left = nil
		}
		if broken = k.judge(s); len(broken) == 0 && grown {
			s, broken, err = k.try(t, p)
		}
	}
	switch {
	case err != nil:
		k.ended = true // rapid would try it again with less, and wait each time
		return failure{rules: "the check has not ended", text: err.Error()}
	case len(broken) > 0:
		var which, wrong []string
		for _, b := range broken {
			which = append(which, fmt.Sprintf("rule %q", b.rule.name))
			wrong = append(wrong, fmt.Sprintf("rule %q (%s):\n  %s", b.rule.name, b.rule.means, b.wrong))
		}
		return failure{"broken: " + strings.Join(which, ", "), strings.Join(wrong, "\n"), k.tell(s)}
	}
	return failure{}
}

// try runs a check, and returns the rules that are broken.
func (k *kit) try(t *testing.T, p *plan) (*seen, []fault, error) {
	s, err := k.bubble(t, p, nil)
	if err != nil {
		return nil, nil, err
	}
	s.do(s.learn)
	return s, k.judge(s), nil
}

// realChecks is how many checks there are in real time.
const realChecks = 10

// fault is a rule that is broken, and how.
type fault struct {
	rule  rule
	wrong string
}

// judge returns the rules that are broken.
func (k *kit) judge(s *seen) (broken []fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range k.rules {
		if wrong := r.holds(s); wrong != "" {
			broken = append(broken, fault{r, wrong})
		}
	}
	return broken
}

// tell says what happened.
func (k *kit) tell(s *seen) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "what happened:\n%s\n", strings.Join(s.story(), "\n"))
	for _, n := range s.notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	if s.report != nil {
		fmt.Fprintf(&b, "the report:\n%v\n", s.report)
		if picture, err := draw.Sequence(*s.report); err == nil {
			fmt.Fprintf(&b, "the report as a picture, for any page that draws mermaid:\n%s", picture)
		}
	}
	return b.String()
}

// pace is how long things may take.
type pace struct {
	patience time.Duration // what should not take long
	longer   time.Duration // after the deadline, to tell when Run came back
	late     time.Duration // how late things may be
	limit    time.Duration // in calm, for a call that ends by itself
}

func (k *kit) pace() pace {
	if k.real != "" {
		return pace{patience: 5 * time.Second, longer: time.Second, late: 200 * time.Millisecond, limit: 2 * time.Second}
	}
	return pace{patience: 5 * time.Minute, longer: 5 * time.Minute, limit: time.Minute}
}

// calm is the time before the trigger in which calls may begin.
func (k *kit) calm() time.Duration {
	if k.real != "" {
		return 100 * time.Millisecond
	}
	longest := time.Second
	for _, l := range k.loads {
		if !l.endless() {
			longest = max(longest, l.took.longest)
		}
	}
	return cmp.Or(2*longest, time.Second)
}
