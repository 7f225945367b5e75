package promadapter_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/promadapter"
	"github.com/lastcall-go/lastcall/report"
)

// A scrape that began before the summary does not have the final numbers, also if it ends after
// it: it is not the last one.
func TestScrapeAcrossTheSummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const answers, wait = 8 * time.Millisecond, 10 * time.Second
		m := promadapter.New()
		reg := register(t, m)
		var across atomic.Int32
		var told atomic.Bool
		summed := told.Load
		ctl, run := begin(t, m, controller.WithServer("s", newServer(func() []lastcall.Work { time.Sleep(answers); return nil })),
			controller.WithObserver("o", func(s report.Step) { told.Store(told.Load() || s.Kind == report.KindSummary) }),
			controller.WithFlusher("last scrape", m.LastScrape(wait)))
		ctl.Shutdown(nil)
		time.Sleep(2*time.Second - answers)
		for range 4 * answers / time.Millisecond {
			go func() {
				if !summed() {
					if gather(t, reg); summed() {
						across.Add(1)
					}
				}
			}()
			if synctest.Wait(); summed() {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if r := <-run; r.Took() < 2*time.Second+wait {
			t.Errorf("took %v: a scrape of before was the last one", r.Took())
		}
		if across.Load() == 0 {
			t.Error("no scrape was under way at the summary")
		}
	})
}
