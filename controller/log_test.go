package controller_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// Any number of logs see the same lines, as the zerolog logger does; errors are lost
// lines, and Run's stderr is left alone.
func TestLogs(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		var lines [2][]string
		keep := func(i int, err error) func(report.Line) error {
			return func(l report.Line) error { lines[i] = append(lines[i], l.Message); return err }
		}
		var log bytes.Buffer
		_, r := everything(t, d, hang, controller.WithLog("a", keep(0, nil)), controller.WithLogger(zerolog.New(&log)), controller.WithLog("b", keep(1, errors.New("full"))))
		if n := bytes.Count(log.Bytes(), []byte("\n")); n < 12 || n != len(lines[0]) || !slices.Equal(lines[0], lines[1]) {
			t.Errorf("zerolog has %d lines, the logs have\n%q\n%q", n, lines[0], lines[1])
		}
		if last := lines[0][len(lines[0])-1]; last != "shutdown complete, flushing" {
			t.Errorf("the last line is %q", last)
		}
		for _, want := range []report.Delivery{
			{Op: report.OpLog, Name: "a", Told: len(lines[0])},
			{Op: report.OpLog, Name: "zerolog", Told: len(lines[0])},
			{Op: report.OpLog, Name: "b", Failed: len(lines[0])},
		} {
			if !slices.Contains(r.Deliveries, want) {
				t.Errorf("%v is not among %v", want, r.Deliveries)
			}
		}
	})
	for _, opt := range []controller.Option{controller.WithLog("", func(report.Line) error { return nil }), controller.WithLog("a", nil)} {
		if _, err := controller.New(budget, opt); err == nil {
			t.Error("a log without a name or without a function is not an error")
		}
	}
}

// Other goroutines may log, also to a writer that fails, as soon as WithLogger has
// returned: nothing of zerolog's is touched later. The race detector is the judge.
func TestLogWhileOthersFail(t *testing.T) {
	opt := controller.WithLogger(zerolog.New(io.Discard))
	logged := make(chan struct{}, 1)
	fails := zerolog.New(writer(func([]byte) (int, error) {
		select {
		case logged <- struct{}{}:
		default:
		}
		return 0, errors.New("disk full")
	}))
	var all sync.WaitGroup
	all.Go(func() {
		for range 20 { // before, while and after the controller logs, and not ordered with that
			fails.Info().Msg("lost")
			time.Sleep(time.Millisecond)
		}
	})
	<-logged
	c := mustNew(t, budget, opt, noSignals)
	c.Shutdown(nil)
	c.Run(t.Context())
	all.Wait()
}
