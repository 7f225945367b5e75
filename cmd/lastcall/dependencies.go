package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/controller"
)

// dependencies are what a replica has beside its server, so that every phase of a
// shutdown has something to do.
type dependencies struct {
	store store
	cache store
	jobs  atomic.Int64    // how many the worker has done
	hung  <-chan struct{} // what those wait for that hang: the end of the demo
}

const (
	jobTime   = 40 * time.Millisecond
	closeTime = 50 * time.Millisecond
	flushTime = 50 * time.Millisecond
)

// store stands for a database. A handler or job that finds it closed has found a
// bug in the order of the shutdown.
type store struct{ closed atomic.Bool }

func (s *store) open() bool { return !s.closed.Load() }

func (s *store) close() error {
	time.Sleep(closeTime)
	s.closed.Store(true)
	return nil
}

// options registers the dependencies with a controller.
func (d *dependencies) options(sc scenario) []controller.Option {
	closeCache, flush := d.cache.close, d.flush
	if sc.hungCloser {
		closeCache = d.hang
	}
	if sc.hungFlusher {
		flush = func(context.Context) error { return d.hang() }
	}
	return []controller.Option{
		controller.WithWorker("jobs", d.work),
		controller.WithCloser("store", d.store.close),
		controller.WithCloser("cache", closeCache),
		controller.WithFlusher("telemetry", flush),
	}
}

// work does one job after the other, and finishes the one that it has claimed.
func (d *dependencies) work(claim, work context.Context) error {
	for claim.Err() == nil {
		select {
		case <-time.After(jobTime):
		case <-work.Done():
			return context.Cause(work)
		}
		if !d.store.open() {
			return errors.New("the store was closed under a running job")
		}
		d.jobs.Add(1)
	}
	return nil
}

func (d *dependencies) flush(ctx context.Context) error {
	select {
	case <-time.After(flushTime):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *dependencies) hang() error {
	<-d.hung
	return nil
}
