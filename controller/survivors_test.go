package controller_test

import (
	"context"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
)

// What no other test noticed when bench/mutants broke it.

// G1: a deadline that comes nearer leaves phase cancel at most the time that its steps were told.
func TestG1_ShortenInPhaseCancel(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		s := &canceling{server: newServer(d, "s", time.Hour), cancel: func(context.Context, error) { hang() }}
		c := mustNew(t, budget, noSignals, withServer("s", s))
		share := 4 * time.Second / 6
		time.AfterFunc(time.Minute+6*time.Second+share/2, func() { c.Shorten(d.start.Add(time.Minute+9*time.Second+900*time.Millisecond), "as tested") })
		runAfter(c, time.Minute)
		d.want(t, "s graceful 1m2s", "s stop "+(time.Minute+6*time.Second+share).String())
	})
}

// G3: a phase in which there is nothing to do is left out: what has ended is not cancelled.
func TestG3_NothingToCancel(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		ended := &canceling{server: newServer(d, "ended", 0), cancel: func(context.Context, error) { d.note("cancel") }}
		r, _ := runAfter(mustNew(t, budget, noSignals, withServer("s", newServer(d, "s", time.Hour)), withServer("ended", ended)), time.Minute)
		if wantPath(t, r, true); hasPhase(r, lastcall.PhaseCancel) {
			t.Errorf("there is a phase cancel:\n%v", r)
		}
	})
}
