package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestWorker: a job that was claimed is finished, unless the timer ends it.
func TestWorker(t *testing.T) {
	fired := errors.New("the timer fired")
	tests := map[string]struct {
		claim, work time.Duration // when they end
		jobs        int64
		took        time.Duration
		err         error
	}{
		"claim ends within a job": {5 * jobTime / 2, time.Hour, 3, 3 * jobTime, nil},
		"work ends within a job":  {5 * jobTime / 2, 5*jobTime/2 + 1, 2, 5*jobTime/2 + 1, fired},
		"claim ended before":      {0, time.Hour, 0, 0, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				claim, cancel := context.WithDeadline(t.Context(), start.Add(tt.claim))
				defer cancel()
				work, cancel := context.WithDeadlineCause(t.Context(), start.Add(tt.work), fired)
				defer cancel()
				var d dependencies
				err := d.work(claim, work)
				if !errors.Is(err, tt.err) || d.jobs.Load() != tt.jobs || time.Since(start) != tt.took {
					t.Errorf("after %v it returned %v with %d jobs done; want after %v %v with %d", time.Since(start), err, d.jobs.Load(), tt.took, tt.err, tt.jobs)
				}
			})
		})
	}
}

// TestClosedStore: handlers and jobs notice if a dependency is closed under them.
// No demo shows that, because it does not happen.
func TestClosedStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dependencies
		time.AfterFunc(jobTime/4, func() {
			if err := d.store.close(); err != nil {
				t.Error(err)
			}
		})
		if err := d.work(t.Context(), t.Context()); err == nil || d.jobs.Load() != 1 {
			t.Errorf("the worker returned %v after %d jobs", err, d.jobs.Load())
		}
		s := &service{store: &d.store}
		if err := s.work(t.Context(), time.Second); status.Code(err) != codes.Internal {
			t.Errorf("a handler returned %v", err)
		}
	})
}
