package foreign_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// Of many calls those that hang, panic or end their goroutine hold up no other.
func TestRunAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls foreign.Calls
		var ran atomic.Int32
		block := make(chan struct{})
		var all []func()
		for i := range 100 {
			all = append(all, func() {
				ran.Add(1)
				switch i {
				case 10, 20, 30, 40:
					<-block
				case 50:
					panic("boom")
				case 60:
					runtime.Goexit()
				}
			})
		}
		began := time.Now()
		done := calls.RunAll("call", all)
		time.Sleep(time.Second)
		if ran.Load() != 100 {
			t.Errorf("%d have run", ran.Load())
		}
		if left := calls.Left(); len(left) != 1 || left[0].Running != 4 {
			t.Errorf("left %+v", left)
		}
		select {
		case <-done:
			t.Error("done while some hang")
		default:
		}
		close(block)
		<-done
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v", took)
		}
		<-calls.RunAll("none", nil)
	})
}

// Calls that are quick share as many goroutines as there are processors.
func TestRunAllSharesGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls foreign.Calls
		var now, most atomic.Int32
		all := make([]func(), 100)
		for i := range all {
			all[i] = func() {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(time.Millisecond)
				now.Add(-1)
			}
		}
		began, n := time.Now(), runtime.GOMAXPROCS(0)
		<-calls.RunAll("call", all)
		if took, want := time.Since(began), time.Duration((len(all)+n-1)/n)*time.Millisecond; took != want || int(most.Load()) > n {
			t.Errorf("%d calls at once took %v; with %d at once it is %v", most.Load(), took, n, want)
		}
	})
}
