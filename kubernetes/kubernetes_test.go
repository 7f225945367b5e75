package kubernetes_test

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/kubernetes"
	"github.com/lastcall-go/lastcall/report"
)

// A pod has 60 s to end, and a preStop hook of 5 s before SIGTERM.
func ExampleBudget() {
	budget, err := kubernetes.Budget(60*time.Second, 5*time.Second)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(kubernetes.Explain(budget, 60*time.Second, 5*time.Second))
	// Output:
	// terminationGracePeriodSeconds 60, preStop 5s:
	//   Total    53s  1m0s less preStop 5s and 2s until SIGKILL
	//   Settle   0s   5s until every proxy has dropped the endpoint: preStop waits that long
	//   Reserve  5s   a fifth of Total, at most 5s: cancel, stop, close, flush
	//   drain    48s  what is left: the longest RPC that may run to its end
	//
	//   deletion  SIGTERM  at the latest
	//   0s                 deletion: proxies begin to drop the endpoint; preStop begins
	//   5s        0s       SIGTERM: announce, which takes at most 4.8s
	//   5s        0s       drain: no new connections, GOAWAY, work in flight finishes; later by what announce took
	//   53s       48s      timer: what still runs is cancelled and stopped
	//   58s       53s      deadline: all is closed and flushed, Run has returned
	//   1m0s      55s      SIGKILL by kubelet, if the process is still there
}

// A budget may be changed; Explain then tells what differs. Here clients follow
// DNS, which they ask at most every 30 s, so the settle is longer than that.
func ExampleExplain() {
	budget, err := kubernetes.Budget(60*time.Second, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	budget.Settle = 35 * time.Second
	fmt.Print(kubernetes.Explain(budget, 60*time.Second, 0))
	// Output:
	// terminationGracePeriodSeconds 60, preStop none:
	//   Total    58s  1m0s less preStop 0s and 2s until SIGKILL
	//   Settle   35s  given; kubernetes.Budget computes 5s
	//   Reserve  5s   a fifth of Total, at most 5s: cancel, stop, close, flush
	//   drain    18s  what is left: the longest RPC that may run to its end
	//
	//   deletion  SIGTERM  at the latest
	//   0s                 deletion: proxies begin to drop the endpoint
	//   0s        0s       SIGTERM: announce, which takes at most 5.3s, then settle: still serving
	//   35s       35s      drain: no new connections, GOAWAY, work in flight finishes; later by what announce took
	//   53s       53s      timer: what still runs is cancelled and stopped
	//   58s       58s      deadline: all is closed and flushed, Run has returned
	//   1m0s      1m0s     SIGKILL by kubelet, if the process is still there
}

func TestKubernetesBudget(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	tests := []struct {
		grace, preStop time.Duration
		want           lastcall.Budget
	}{
		{30 * s, 0, lastcall.Budget{Total: 28 * s, Settle: 5 * s, Reserve: 5 * s}},
		{30 * s, 0, lastcall.DefaultBudget()},
		{30 * s, 5 * s, lastcall.Budget{Total: 23 * s, Reserve: 4600 * ms}},
		{30 * s, 2 * s, lastcall.Budget{Total: 26 * s, Settle: 3 * s, Reserve: 5 * s}},
		{30 * s, 15 * s, lastcall.Budget{Total: 13 * s, Reserve: 2600 * ms}},
		{11 * s, 0, lastcall.Budget{Total: 9 * s, Settle: 5 * s, Reserve: 1800 * ms}},
		{10 * s, 0, lastcall.Budget{Total: 8 * s, Settle: 4400 * ms, Reserve: 1600 * ms}},
		{10 * s, 5 * s, lastcall.Budget{Total: 3 * s, Reserve: s}},
		{8 * s, 2 * s, lastcall.Budget{Total: 4 * s, Settle: s, Reserve: s}},
		{5 * s, 0, lastcall.Budget{Total: 3 * s, Reserve: s}},
		{3600 * s, 0, lastcall.Budget{Total: 3598 * s, Settle: 5 * s, Reserve: 5 * s}},
	}
	for _, tt := range tests {
		if got, err := kubernetes.Budget(tt.grace, tt.preStop); err != nil || got != tt.want {
			t.Errorf("KubernetesBudget(%v, %v) is %+v, %v, want %+v", tt.grace, tt.preStop, got, err, tt.want)
		}
	}
}

func TestKubernetesBudgetErrors(t *testing.T) {
	const s = time.Second
	tests := map[string]struct {
		grace, preStop time.Duration
		want           []string
	}{
		"too short":         {4 * s, 0, []string{"terminationGracePeriod 4s less preStop 0s leaves 4s", "must leave at least 5s", "Reserve 1s and 2s for the drain", "raise terminationGracePeriodSeconds to at least 5"}},
		"no time for drain": {9 * s, 5 * s, []string{"terminationGracePeriod 9s less preStop 5s leaves 4s", "2s for the drain", "at least 10"}}, // it was a drain of 1 s
		"nothing at all":    {0, 0, []string{"terminationGracePeriod 0s", "at least 5"}},
		"preStop takes all": {30 * s, 30 * s, []string{"preStop 30s leaves 0s", "at least 35"}},
		"negative":          {-s, -2 * s, []string{"terminationGracePeriod is -1s", "preStop is -2s"}},
		"no time.Second":    {30, 5, []string{"terminationGracePeriod is 30ns, must be whole seconds", "preStop is 5ns", "write 30*time.Second for 30"}},
		"no such preStop":   {30 * s, 9223372036 * s, []string{"preStop is 2562047h47m16s: no terminationGracePeriod is that long"}},
	}
	for name, tt := range tests {
		got, err := kubernetes.Budget(tt.grace, tt.preStop)
		if err == nil || got != (lastcall.Budget{}) {
			t.Errorf("%s: it is %+v, %v, want an error", name, got, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error does not say %q: %v", name, want, err)
			}
		}
	}
}

// TestKubernetesBudgetProperty: for every pod there is either a budget that is
// over before SIGKILL, or an error with a fix that works and is the least.
func TestKubernetesBudgetProperty(t *testing.T) {
	fix := regexp.MustCompile(`to at least (\d+)$`)
	rapid.Check(t, func(t *rapid.T) {
		wholeSeconds := rapid.OneOf(rapid.Int64Range(0, 60), rapid.Int64Range(0, math.MaxInt64/int64(time.Second)-20))
		grace := time.Duration(wholeSeconds.Draw(t, "grace")) * time.Second
		preStop := time.Duration(wholeSeconds.Draw(t, "preStop")) * time.Second
		b, err := kubernetes.Budget(grace, preStop)
		if err == nil {
			checkKubernetesBudget(t, b, grace, preStop)
			return
		}
		m := fix.FindStringSubmatch(err.Error())
		if m == nil {
			t.Fatalf("no fix in: %v", err)
		}
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		fixed := time.Duration(n) * time.Second
		if fixed <= grace {
			t.Fatalf("%v is to be raised to %v", grace, fixed)
		}
		b, err = kubernetes.Budget(fixed, preStop)
		if err != nil {
			t.Fatalf("the fix %v does not work: %v", fixed, err)
		}
		checkKubernetesBudget(t, b, fixed, preStop)
		if _, err := kubernetes.Budget(fixed-time.Second, preStop); err == nil {
			t.Fatalf("the fix %v is not the least", fixed)
		}
	})
}

// longer is what Explain says of a Settle that had to give way.
var longer = regexp.MustCompile(`cut short for the drain: raise terminationGracePeriodSeconds to (\d+) for`)

func checkKubernetesBudget(t *rapid.T, b lastcall.Budget, grace, preStop time.Duration) {
	if err := b.Validate(); err != nil {
		t.Fatal(err)
	}
	if preStop+b.Total+2*time.Second != grace {
		t.Fatalf("preStop %v and Total %v do not end 2s before %v", preStop, b.Total, grace)
	}
	drain := b.Total - b.Settle - b.Reserve
	if drain < 2*time.Second {
		t.Fatalf("the drain is %v", drain)
	}
	text := kubernetes.Explain(b, grace, preStop)
	if preStop+b.Settle < 5*time.Second {
		if drain > 2*time.Second {
			t.Fatalf("preStop %v and Settle %v are too short for the endpoints, with %v for the drain", preStop, b.Settle, drain)
		}
		m := longer.FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("Explain does not say that Settle is short:\n%s", text)
		}
		n, _ := strconv.ParseInt(m[1], 10, 64) // digits
		for _, more := range []time.Duration{0, -time.Second} {
			b, err := kubernetes.Budget(time.Duration(n)*time.Second+more, preStop)
			if err != nil || (preStop+b.Settle < 5*time.Second) == (more == 0) {
				t.Fatalf("Explain says %d, and there it is %v, %v:\n%s", n, b, err, text)
			}
		}
		return
	}
	if strings.Contains(text, "given") || strings.Contains(text, "raise") {
		t.Fatalf("Explain finds fault with it:\n%s", text)
	}
}

// TestKubernetesRuleOfThumb: a grace period by the rule of thumb leaves the longest
// RPC its time.
func TestKubernetesRuleOfThumb(t *testing.T) {
	for preStop := time.Duration(0); preStop <= 20*time.Second; preStop += time.Second {
		for longest := time.Second; longest <= 100*time.Second; longest += time.Second {
			grace := max(5*time.Second, preStop) + longest + 5*time.Second + 2*time.Second
			b, err := kubernetes.Budget(grace, preStop)
			if drain := b.Total - b.Settle - b.Reserve; err != nil || drain < longest {
				t.Fatalf("preStop %v and an RPC of %v: KubernetesBudget(%v, %v) leaves %v, %v", preStop, longest, grace, preStop, drain, err)
			}
		}
	}
}

// TestExplain: a budget that does not fit is told where SIGKILL comes, and what
// would fit.
func TestExplain(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	odd := lastcall.Budget{Total: 25 * s, Settle: 5 * s, Reserve: 5 * s} // no pod's
	tests := map[string]struct {
		budget         lastcall.Budget
		grace, preStop time.Duration
		want           []string
	}{
		"default": {lastcall.DefaultBudget(), 30 * s, 0, []string{
			"Total    28s  30s less preStop 0s", "drain    18s", "\n  30s       30s      SIGKILL by kubelet, if the process is still there\n"}},
		"given": {odd, 30 * s, 0, []string{"Total    25s  given; kubernetes.Budget computes 28s", "drain    15s"}},
		"with preStop": {odd, 30 * s, 5 * s, []string{
			"has returned\n  30s       25s      SIGKILL by kubelet, if", "SIGKILL comes 0s after the deadline, less than 2s: raise terminationGracePeriodSeconds to at least 32.\n"}},
		"killed in the drain": {odd, 20 * s, 5 * s, []string{
			"\n  20s       15s      SIGKILL by kubelet\n  25s       20s      timer", "SIGKILL comes before the deadline: raise terminationGracePeriodSeconds to at least 32.\n"}},
		"short": {lastcall.Budget{Total: 8 * s, Settle: 4400 * ms, Reserve: 1600 * ms}, 10 * s, 0, []string{
			"Settle   4.4s  5s until every proxy has dropped the endpoint, cut short for the drain: raise terminationGracePeriodSeconds to 11 for 5s\n"}},
		"half a second":         {lastcall.Budget{Total: 25*s + 500*ms, Reserve: 5 * s}, 20 * s, 0, []string{"SIGKILL comes before the deadline: raise terminationGracePeriodSeconds to at least 28.\n"}},
		"no budget for the pod": {odd, 4 * s, 0, []string{"Total    25s  given; kubernetes.Budget has none for this pod"}},
		"killed in preStop": {lastcall.DefaultBudget(), 3 * s, 5 * s, []string{
			"\n  3s        0s       SIGTERM", "\n  5s        2s       SIGKILL by kubelet\n  8s        5s       drain"}}, // kubelet gives a hook no more than the grace period, and the process 2 s
		"quiet":        {lastcall.Budget{Total: 25 * s, Settle: 5 * s, Quiet: s, Reserve: 5 * s}, 30 * s, 0, []string{"Quiet    1s   ends settle early"}},
		"part preStop": {lastcall.Budget{Total: 26 * s, Settle: 3 * s, Reserve: 5 * s}, 30 * s, 2 * s, []string{"Settle   3s   5s until every proxy has dropped the endpoint, less the 2s of preStop"}},
		"least":        {lastcall.Budget{Total: 3 * s, Reserve: s}, 10 * s, 5 * s, []string{"Reserve  1s  a fifth of Total, at least 1s: cancel"}},
		"for ever":     {lastcall.Budget{Total: math.MaxInt64, Reserve: s}, 30 * s, 5 * s, []string{"\n  30s                       25s                       SIGKILL by kubelet\n", "SIGKILL comes before the deadline"}},
		"no budget":    {lastcall.Budget{}, 30 * s, 0, []string{"the zero Budget has no time for anything"}},
		"no pod":       {lastcall.DefaultBudget(), 30, 5, []string{"terminationGracePeriod is 30ns", "preStop is 5ns"}},
	}
	for name, tt := range tests {
		text := kubernetes.Explain(tt.budget, tt.grace, tt.preStop)
		for _, want := range tt.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: it does not say %q:\n%s", name, want, text)
			}
		}
		if strings.Count(text, "SIGKILL by kubelet") > 1 || strings.Count(text, "\n") > 24 {
			t.Errorf("%s: that is too much:\n%s", name, text)
		}
	}
}

// TestExplainedTimesHappen: a shutdown in which everything hangs goes through the
// instants that Explain names, and is over 2 s before SIGKILL.
func TestExplainedTimesHappen(t *testing.T) {
	const s = time.Second
	for _, pod := range [][2]time.Duration{{30 * s, 0}, {30 * s, 2 * s}, {30 * s, 5 * s}, {10 * s, 0}, {10 * s, 5 * s}, {7 * s, 0}, {5 * s, 0}} {
		grace, preStop := pod[0], pod[1]
		t.Run(fmt.Sprint(grace, " ", preStop), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				over := make(chan struct{})
				defer close(over)
				hang := func() { <-over }
				budget, err := kubernetes.Budget(grace, preStop)
				if err != nil {
					t.Fatal(err)
				}
				ready := make(chan struct{})
				close(ready)
				c, err := controller.New(budget, controller.WithSignals(), controller.WithoutStderr(), controller.WithServer("grpc", hanging{hang}, controller.ServedElsewhere(ready)),
					controller.WithCloser("database", hang), controller.WithFlusher("traces", hang))
				if err != nil {
					t.Fatal(err)
				}
				deleted := time.Now().Add(time.Second) // when the server has long been ready
				time.AfterFunc(time.Second+preStop, func() { c.Shutdown(nil) })
				r := c.Run(context.Background())
				took := time.Since(deleted.Add(preStop))
				if left := grace - preStop - took; left != 2*time.Second {
					t.Errorf("Run returned %v before SIGKILL", left)
				}
				explained := strings.Join(strings.Fields(kubernetes.Explain(budget, grace, preStop)), " ")
				for what, at := range map[string]time.Time{
					"drain:":    enteredAt(t, r, fsm.GracefulShutdown),
					"timer:":    enteredAt(t, r, fsm.TimerExpired),
					"deadline:": deleted.Add(preStop + took),
				} {
					if line := fmt.Sprintf(" %v %v %s", at.Sub(deleted), at.Sub(deleted)-preStop, what); !strings.Contains(explained, line) {
						t.Errorf("%s %s is not among\n%s", what, line, explained)
					}
				}
			})
		})
	}
}

func enteredAt(t *testing.T, r report.Report, state fsm.State) time.Time {
	t.Helper()
	for _, s := range r.Steps {
		if s.Kind == report.KindTransition && s.State == state {
			return s.Start
		}
	}
	t.Fatalf("%v was never entered\n%v", state, r)
	return time.Time{}
}

// hanging is a server that neither drains nor stops.
type hanging struct{ hang func() }

func (h hanging) GracefulStop() { h.hang() }
func (h hanging) Stop()         { h.hang() }
