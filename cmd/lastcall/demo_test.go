package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/report"
)

// TestDemoWithoutSignals: where no SIGTERM can be sent the demo says so, and calls
// the controller. -draw adds a drawing of what happened.
func TestDemoWithoutSignals(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := runCommand(t.Context(), append([]string{"demo", "-scenario", "signal", "-draw", "path"}, roomy...)...)
	if code != report.ExitInterrupted || stderr != "" {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	for _, want := range []string{
		"in vain (" + errNoSignal.Error() + "): the demo calls the controller instead",
		report.ErrShutdown.Error(), "forced in",
		"stateDiagram-v2\n", "    class SERVING,GRACEFUL_SHUTDOWN visited\n", "    class TERMINATED,TIMER_EXPIRED forced\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("it does not say %q:\n%s", want, stdout)
		}
	}
	if n := strings.Count(stdout, "in vain"); n != 2 {
		t.Errorf("it says so %d times, want 2, once for each signal", n)
	}
}

// TestDemoWithLostSignal: nor does the demo wait for ever for a signal that does
// not arrive.
func TestDemoWithLostSignal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	code := shell{stdout: &out, stderr: &out, signal: func(os.Signal) error { return nil }}.run(t.Context(), append([]string{"demo"}, roomy...))
	if want := "in vain (nothing happened within 2s): the demo calls the controller instead"; code != report.ExitOK || !strings.Contains(out.String(), want) {
		t.Errorf("exit code %d, want 0, and it should say %q:\n%s", code, want, &out)
	}
}

// TestDemoEndedByContext: a trigger that comes from elsewhere ends the demo before
// its SIGTERM, and as cleanly.
func TestDemoEndedByContext(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	loaded, cancelLoaded := context.WithCancel(t.Context())
	t.Cleanup(cancelLoaded)
	tests := map[string]struct {
		ctx      context.Context
		scenario string
		out      *watchedWriter
	}{
		"before it started":                    {ended, "stuck", &watchedWriter{}},
		"before it started, with silent peers": {ended, "silent", &watchedWriter{}},
		"under load":                           {loaded, "stuck", &watchedWriter{wait: "serve ", times: 2, then: cancelLoaded}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sh := shell{stdout: tt.out, stderr: tt.out, signal: func(os.Signal) error {
				t.Error("it sent a SIGTERM after the trigger")
				return nil
			}}
			code := sh.run(tt.ctx, append([]string{"demo", "-scenario", tt.scenario, "-load", "1m"}, roomy[2:]...))
			text := tt.out.String()
			if code != report.ExitOK {
				t.Errorf("exit code %d, want %d", code, report.ExitOK)
			}
			for _, want := range []string{context.Canceled.Error(), "none failed"} {
				if !strings.Contains(text, want) {
					t.Errorf("it does not say %q", want)
				}
			}
			if strings.Contains(text, "Silent peers") {
				t.Error("it tells of silent peers that there were none of")
			}
			if t.Failed() {
				t.Log(text)
			}
		})
	}
}

// watchedWriter keeps what is written, and calls then once a text has come often
// enough. Writes must not overlap.
type watchedWriter struct {
	bytes.Buffer
	wait  string
	times int
	then  func()
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if w.then != nil && strings.Count(w.String(), w.wait) >= w.times {
		w.then()
	}
	return n, err
}

// TestDemoLog: -log writes the controller's lines to stderr, as JSON, and nothing
// else.
func TestDemoLog(t *testing.T) {
	t.Parallel()
	code, _, stderr := runCommand(t.Context(), append([]string{"demo", "-log"}, roomy...)...)
	if code != report.ExitOK {
		t.Errorf("exit code %d", code)
	}
	messages := make(map[string]bool)
	for line := range strings.Lines(stderr) {
		var entry struct {
			Time    time.Time
			Message string
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time.IsZero() {
			t.Errorf("stderr has the line %q: error %v, time %v", line, err, entry.Time)
		}
		messages[entry.Message] = true
	}
	for _, want := range []string{"phase serve", "state GRACEFUL_SHUTDOWN", "phase drain", "shutdown complete, flushing"} {
		if !messages[want] {
			t.Errorf("the log has no line %q:\n%s", want, stderr)
		}
	}
}

// TestDemoThatCannotBeGiven: if a replica does not answer there is no demo, but an
// error that says why, and the controller shuts down what it has begun.
func TestDemoThatCannotBeGiven(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	sh := shell{stdout: &out, stderr: &out, signal: func(os.Signal) error {
		t.Error("it sent a SIGTERM")
		return nil
	}}
	s, err := newStage(sh, demoConfig{scenario: scenarios()[0], budget: demoBudget()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.b.lis.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := s.play(t.Context())
	// Whose 5 s are over first, those of the calls or those of the demo, is a matter of luck.
	if err == nil || !strings.Contains(err.Error(), "not every client reached both replicas within 5s") && !strings.Contains(err.Error(), "the clients do not reach the servers") {
		t.Errorf("error %v", err)
	}
	if !r.report.Forced || s.ctl.State() != fsm.Terminated {
		t.Errorf("the controller is in %v, forced: %v", s.ctl.State(), r.report.Forced)
	}
}
