package controller_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// held is a server that its peers hold until Stop.
type held struct {
	*full
	peers  func() ([]string, bool)
	cancel func()
	work   []lastcall.Work
}

func (s *held) IdlePeers() ([]string, bool) {
	s.d.note(s.name + " idle")
	return s.peers()
}

func (s *held) Cancel(context.Context, error) {
	s.d.note(s.name + " cancel")
	if s.cancel != nil {
		s.cancel()
	}
}

func (s *held) InFlight() []lastcall.Work { return s.work }

// The outcome is that of idle peers only if every server that is still up says so in time.
// IdlePeers is asked before Cancel, and not of servers that have drained, or by a force.
func TestIdlePeers(t *testing.T) {
	const timer = 15 * time.Second // after the trigger
	b := lastcall.Budget{Total: 20 * time.Second, Reserve: 5 * time.Second}
	says := func(idle bool, peers ...string) func() ([]string, bool) {
		return func() ([]string, bool) { return peers, idle }
	}
	newHeld := func(d *diary, name string, peers func() ([]string, bool)) *held {
		return &held{full: &full{server: newServer(d, name, time.Hour)}, peers: peers}
	}
	for name, tt := range map[string]struct {
		peers  func() ([]string, bool)
		with   func(*diary, *held) []controller.Option
		force  time.Duration // after the trigger; 0: none
		code   int
		asked  bool
		failed string
		took   time.Duration // after the timer
	}{
		"idle":        {peers: says(true, "a", "b"), asked: true},
		"cannot tell": {peers: says(false, "a"), asked: true, code: report.ExitInterrupted},
		"nobody":      {peers: says(true), asked: true, code: report.ExitInterrupted},
		"panics":      {peers: func() ([]string, bool) { panic("as written") }, asked: true, code: report.ExitInterrupted, failed: `IdlePeers "s" panicked: as written`},
		"late":        {peers: func() ([]string, bool) { time.Sleep(time.Second); return []string{"a"}, true }, asked: true, code: report.ExitInterrupted, failed: `IdlePeers "s" timed out`, took: 10 * time.Millisecond},
		"forced":      {peers: says(true, "a"), force: time.Second, code: report.ExitInterrupted},
		"forced later": {peers: says(true, "a"), asked: true, force: timer + 100*time.Millisecond, code: report.ExitInterrupted, took: 200 * time.Millisecond, with: func(_ *diary, s *held) []controller.Option {
			s.cancel = func() { time.Sleep(200 * time.Millisecond) }
			return nil
		}},
		"forced as it closes": {peers: says(true, "a"), asked: true, force: timer + 100*time.Millisecond, took: 200 * time.Millisecond, with: func(*diary, *held) []controller.Option {
			return []controller.Option{controller.WithCloser("c", func() { time.Sleep(200 * time.Millisecond) })}
		}},
		"another says no": {peers: says(true, "a"), asked: true, code: report.ExitInterrupted, with: func(d *diary, _ *held) []controller.Option {
			return []controller.Option{withServer("q", newHeld(d, "q", says(false)))}
		}},
		"another is idle": {peers: says(true, "a"), asked: true, with: func(d *diary, _ *held) []controller.Option {
			return []controller.Option{withServer("q", newHeld(d, "q", says(true, "c")), controller.After("s"))}
		}},
		"another has drained": {peers: says(true, "a"), asked: true, with: func(d *diary, _ *held) []controller.Option {
			return []controller.Option{withServer("q", &full{server: newServer(d, "q", time.Second)})}
		}},
		"work comes after the timer": {peers: says(true, "a"), asked: true, code: report.ExitInterrupted, with: func(_ *diary, s *held) []controller.Option {
			s.work = []lastcall.Work{{Name: "/a.B/C", Kind: lastcall.WorkUnary, Arrived: 1, Cancelled: 1}}
			return nil
		}},
		"Stop does not end it": {peers: says(true, "a"), asked: true, code: report.ExitAbandoned, with: func(_ *diary, s *held) []controller.Option {
			s.graceful = func() { time.Sleep(time.Hour) }
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				s := newHeld(d, "s", tt.peers)
				opts := []controller.Option{noSignals, withServer("s", s)}
				if tt.with != nil {
					opts = append(opts, tt.with(d, s)...)
				}
				c := mustNew(t, b, opts...)
				if tt.force > 0 {
					time.AfterFunc(time.Minute+tt.force, c.Force)
				}
				r, _ := runAfter(c, time.Minute)
				if r.ExitCode() != tt.code || (r.Outcome == report.OutcomeIdle) != (tt.code == report.ExitOK) {
					t.Errorf("exit code %d, want %d\n%v", r.ExitCode(), tt.code, r)
				}
				if tt.code == report.ExitOK && !slices.Contains(r.Idle, report.Note{Server: "s", Text: "a"}) {
					t.Errorf("idle %v", r.Idle)
				}
				if tt.failed != "" && !strings.Contains(r.String(), tt.failed) {
					t.Errorf("no %q in\n%v", tt.failed, r)
				}
				if tt.force != time.Second && tt.code != report.ExitAbandoned && r.Took() != timer+tt.took {
					t.Errorf("took %v, want %v", r.Took(), timer+tt.took)
				}
				d.mu.Lock()
				defer d.mu.Unlock()
				idle, cancel := indexOf(d.lines, "s idle"), indexOf(d.lines, "s cancel")
				if (idle >= 0) != tt.asked || idle > cancel {
					t.Errorf("asked: %v; want %v, before Cancel\n%s", idle >= 0, tt.asked, strings.Join(d.lines, "\n"))
				}
			})
		})
	}
}

// indexOf returns where a line begins so, or -1.
func indexOf(lines []string, begin string) int {
	return slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, begin) })
}
