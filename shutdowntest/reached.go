package shutdowntest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/internal/contracttest"
	"github.com/lastcall-go/lastcall/report"
)

// Reached returns a channel that is closed when the controller has come to a phase, or to a
// later one if that is left out. Call it before Run. It is for tests of one certain
// shutdown, which wait for an instant instead of sleeping.
func Reached(ctl *controller.Controller, phase lastcall.Phase) (<-chan struct{}, error) {
	if phase < lastcall.PhaseStart || phase > lastcall.PhaseFlush {
		return nil, fmt.Errorf("shutdowntest: Reached was given %v, which is not a phase", phase)
	}
	reached := make(chan struct{})
	come := sync.OnceFunc(func() { close(reached) })
	err := ctl.Add(controller.WithObserver(fmt.Sprintf("%s: reached %v", own, phase), func(s report.Step) {
		if s.Kind == report.KindPhase && s.Phase >= phase {
			come()
		}
	}))
	return reached, err
}

// Subject is a kind of server for [TestContract].
type Subject = contracttest.Subject

// Instance is one server of a [Subject].
type Instance = contracttest.Instance

// TestContract checks that a server keeps the contract of [lastcall.FullServer]. It is for
// the tests of adapters; each case is a subtest, in a bubble of testing/synctest.
func TestContract(t *testing.T, s Subject) {
	t.Helper()
	contracttest.TestContract(t, s)
}
