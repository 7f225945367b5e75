package systemd

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// TestMessages: what is sent in each phase. The step began at 12:00:00 and left 20 s.
func TestMessages(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const left = 20 * time.Second
	tests := map[string]struct {
		phase     lastcall.Phase
		remaining time.Duration
		late      time.Duration // how long the message had to wait for those before it
		want      []string
	}{
		"start":    {lastcall.PhaseStart, 0, 0, []string{"STATUS=starting"}},
		"serve":    {lastcall.PhaseServe, 0, 0, []string{"READY=1", "STATUS=ready"}},
		"announce": {lastcall.PhaseAnnounce, left, 0, []string{"STOPPING=1", "EXTEND_TIMEOUT_USEC=22000000", "STATUS=shutting down: announce, at most 20s left, until 12:00:20 UTC"}},
		"drain":    {lastcall.PhaseDrain, left, 0, []string{"EXTEND_TIMEOUT_USEC=22000000", "STATUS=shutting down: drain, at most 20s left, until 12:00:20 UTC"}},
		"flush":    {lastcall.PhaseFlush, 1234567 * time.Microsecond, 0, []string{"EXTEND_TIMEOUT_USEC=3234567", "STATUS=shutting down: flush, at most 1.2s left, until 12:00:01 UTC"}},
		// The deadline stays where it is, however late the message is.
		"late":     {lastcall.PhaseSettle, left, 5 * time.Second, []string{"EXTEND_TIMEOUT_USEC=17000000", "STATUS=shutting down: settle, at most 15s left, until 12:00:20 UTC"}},
		"too late": {lastcall.PhaseClose, left, 21 * time.Second, []string{"EXTEND_TIMEOUT_USEC=1000000", "STATUS=shutting down: close, at most 0s left, until 12:00:20 UTC"}},
		// Shorten in phase announce: that STOPPING=1 stands is known.
		"request":  {lastcall.PhaseAnnounce, 3 * time.Second, 0, []string{"EXTEND_TIMEOUT_USEC=5000000", "STATUS=shutting down: announce, at most 3s left, until 12:00:03 UTC"}},
		"far late": {lastcall.PhaseClose, left, 22 * time.Second, []string{"STATUS=shutting down: close, at most 0s left, until 12:00:20 UTC"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind := report.KindPhase
			if strings.HasPrefix(name, "request") {
				kind = report.KindRequest
			}
			step := report.Step{Kind: kind, Phase: tt.phase, Start: noon, Remaining: tt.remaining}
			if got := message(step, noon.Add(tt.late)); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}
