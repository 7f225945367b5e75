package controller

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestYield(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			var ran atomic.Int32
			for range 10 {
				go func() {
					for range 10 {
						runtime.Gosched()
					}
					ran.Add(1)
				}()
			}
			yield()
			if ran.Load() != 10 {
				t.Fatalf("yield returned when %d of 10 goroutines had run", ran.Load())
			}
			if passed := time.Since(start); passed != 0 {
				t.Fatalf("yield took %v", passed)
			}
		})
	}
}
