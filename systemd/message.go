package systemd

import (
	"fmt"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// message returns the variables that tell of a phase that has begun, or of a request that
// may have moved the deadline, the most important one first. Now is when they are sent, which may be later.
func message(s report.Step, now time.Time) []string {
	var variables []string
	switch phase := s.Phase; {
	case s.Kind != report.KindPhase:
	case phase == lastcall.PhaseStart:
		return []string{"STATUS=starting"}
	case phase == lastcall.PhaseServe:
		return []string{"READY=1", "STATUS=ready"}
	case phase == lastcall.PhaseAnnounce:
		variables = []string{"STOPPING=1"}
	}
	deadline := s.Start.Add(s.Remaining)
	left := max(deadline.Sub(now), 0)
	if extend := deadline.Add(lastcall.ExitMargin).Sub(now).Microseconds(); extend > 0 {
		variables = append(variables, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", extend))
	}
	return append(variables, fmt.Sprintf("STATUS=shutting down: %v, at most %v left, until %s",
		s.Phase, left.Round(100*time.Millisecond), deadline.Format("15:04:05 MST")))
}
