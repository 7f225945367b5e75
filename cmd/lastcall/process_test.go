package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/report"
)

// process runs a demo as a process of its own and takes apart what it prints. The
// test fails if the process has not ended within a minute.
func process(t *testing.T, args ...string) shown {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), asLastcall+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	var signalled time.Time
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if signalled.IsZero() && strings.Contains(lines.Text(), "announce") {
			signalled = time.Now()
		}
	}
	err = cmd.Wait()
	ended := time.Now()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if stderr.Len() > 0 {
		t.Errorf("stderr: %s", stderr.String())
	}
	s := takeApart(t, text.String())
	s.exit, s.afterSig = cmd.ProcessState.ExitCode(), ended.Sub(signalled)
	if t.Failed() {
		t.Logf("exit code %d, stdout:\n%s", s.exit, s.text)
	}
	return s
}

// Budgets with room for a machine that stands still for a second. roomy is for
// scenarios that end long before the timer, brief for those that wait for it.
var (
	roomy = []string{"-load", "200ms", "-total", "9s", "-settle", "500ms", "-reserve", "3s"}
	brief = []string{"-load", "200ms", "-total", "4500ms", "-settle", "500ms", "-reserve", "1500ms"}
	spare = []string{"-load", "200ms", "-total", "6s", "-settle", "500ms", "-reserve", "3s"}
)

// TestScenarios runs each scenario as a process that gets real signals.
func TestScenarios(t *testing.T) {
	const (
		drained = "SERVING -> GRACEFUL_SHUTDOWN -> TERMINATED"
		forced  = "SERVING -> GRACEFUL_SHUTDOWN -> TIMER_EXPIRED -> TERMINATED"
	)
	endlessCut := map[place]map[string]int{{replicaA, methodEndless}: {"Unavailable": watchers / 2}}
	stuckCut := map[place]map[string]int{{replicaA, methodStuck}: {"Unavailable": 1}}
	// what the report says of the work of replica a
	work := func(numbers string) string { return numbers + " still running\n" }
	tests := map[string]struct {
		budget  []string
		exit    int
		path    string
		says    []string
		failed  map[place]map[string]int
		reached bool // the deadline
	}{
		"drain":    {roomy, report.ExitOK, drained, []string{"none failed", work("0 cancelled, 0 cut, 0")}, nil, false},
		"stream":   {brief, report.ExitInterrupted, forced, []string{"cancelled in", work("2 cancelled, 0 cut, 0")}, endlessCut, false},
		"stuck":    {spare, report.ExitAbandoned, forced, []string{", and has not returned", work("0 cancelled, 0 cut, 1"), "running   " + path(methodStuck) + " x1, oldest "}, stuckCut, false},
		"silent":   {roomy, report.ExitOK, drained, []string{"none failed", work("0 cancelled, 0 cut, 0"), "note      \"replica a\": 1 connection had not finished its handshake and was closed"}, nil, false},
		"closer":   {roomy, report.ExitStep, drained, []string{`closer "cache" timed out`, "none failed"}, nil, false},
		"signal":   {roomy, report.ExitInterrupted, forced, []string{"-> SIGINT", "forced in"}, endlessCut, false},
		"deadline": {brief, report.ExitAbandoned, forced, []string{`closer "cache" timed out`, `flusher "telemetry" timed out`}, stuckCut, true},
	}
	if len(tests) != len(scenarios()) {
		t.Errorf("%d scenarios are tested, there are %v", len(tests), scenarioNames())
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := process(t, append([]string{"-scenario", name}, tt.budget...)...)
			if s.exit != tt.exit {
				t.Errorf("exit code %d, want %d", s.exit, tt.exit)
			}
			if path := "path      " + tt.path + "\n"; !strings.Contains(s.text, path) {
				t.Errorf("it does not say %q", path)
			}
			for _, want := range append(tt.says, "-> SIGTERM", "signal: terminated") {
				if !strings.Contains(s.text, want) {
					t.Errorf("it does not say %q", want)
				}
			}
			if want := duration(t, tt.budget[5]); s.settle < want {
				t.Errorf("it settled for %v, want %v", s.settle, want)
			}
			checkDeadline(t, s, tt.budget, tt.reached)
			checkClients(t, s, tt.failed, name == "signal")
			checkWork(t, s)
			if name == "silent" {
				checkSilent(t, s)
			}
			if t.Failed() {
				t.Logf("exit code %d, stdout:\n%s", s.exit, s.text)
			}
		})
	}
}

// checkDeadline: Run returned by the deadline, as exactly as a timer can, and the
// process soon after.
func checkDeadline(t *testing.T, s shown, budget []string, reached bool) {
	t.Helper()
	if reached != (s.early <= 0) {
		t.Errorf("Run returned %v before the deadline; want the deadline reached: %v", s.early, reached)
	}
	if late := -s.early - s.bare; late > 250*time.Millisecond {
		t.Errorf("Run returned %v after the deadline, a bare timer %v", -s.early, s.bare)
	}
	total := duration(t, budget[3])
	if most := total - max(0, s.early) + partTime + 2*time.Second; s.afterSig > most {
		t.Errorf("the process ended %v after the signal, want at most %v: when Run had returned, and the clients had parted", s.afterSig, most)
	}
}

// checkClients: those RPCs failed that had to, and nothing else; the others went
// over to b.
func checkClients(t *testing.T, s shown, want map[place]map[string]int, slowMayFail bool) {
	t.Helper()
	failed := s.failures()
	if slowMayFail { // forced while they ran
		delete(failed, place{replicaA, methodSlow})
	}
	for p, codes := range failed {
		for code, n := range codes {
			if want[p][code] != n {
				t.Errorf("%d %s on replica %s failed with %s, want %d", n, p.method, p.replica, code, want[p][code])
			}
		}
	}
	for p, codes := range want {
		if failed[p] == nil {
			t.Errorf("no %s on replica %s failed, want %v", p.method, p.replica, codes)
		}
	}
	for _, p := range []place{{replicaA, methodCall}, {replicaB, methodCall}, {replicaA, methodWatch}, {replicaB, methodWatch}} {
		if s.rows[p][0]["OK"] == 0 {
			t.Errorf("before SIGTERM no %s on replica %s began that succeeded", p.method, p.replica)
		}
	}
	onA, onB := s.rows[place{replicaA, methodCall}][1]["OK"], s.rows[place{replicaB, methodCall}][1]["OK"]
	// They leave a when they are told to go: until then every second call is a's.
	if onB == 0 || onA >= onB {
		t.Errorf("after SIGTERM %d calls began on a and %d on b: the clients did not go over", onA, onB)
	}
	if s.rows[place{replicaB, methodWatch}][1]["OK"] == 0 {
		t.Errorf("no stream was opened again on b")
	}
}

// checkWork: the report's numbers add up, and those RPCs that replica a did not
// complete are the ones that failed there.
func checkWork(t *testing.T, s shown) {
	t.Helper()
	w := s.work
	if w.before+w.arrived != w.completed+w.cancelled+w.cut+w.running {
		t.Errorf("the numbers of the work do not add up: %+v", w)
	}
	failed := 0
	for p, codes := range s.failures() {
		for _, n := range codes {
			if p.replica == replicaA {
				failed += n
			}
		}
	}
	if n := w.cancelled + w.cut + w.running; n != failed {
		t.Errorf("on replica a %d RPCs were cancelled, cut or still running; the clients saw %d fail", n, failed)
	}
}

// checkSilent: the controller closes the connection of a silent peer once its time
// for the handshake is over, with the end of the stream. Bare grpc goes on waiting.
func checkSilent(t *testing.T, s shown) {
	t.Helper()
	const handshakeTime = time.Second // of grpcadapter, by default
	if s.eof < handshakeTime {
		t.Errorf("the silent peer of replica a saw EOF %v into the drain, want %v", s.eof, handshakeTime)
	}
	if s.drain < handshakeTime {
		t.Errorf("the drain took %v, want %v: for the silent peer", s.drain, handshakeTime)
	}
	if s.held < bareTime {
		t.Errorf("Stop of bare grpc had not returned after %v, want %v", s.held, bareTime)
	}
}
