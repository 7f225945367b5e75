package main

import (
	"context"
	"errors"
	"syscall"

	"github.com/oklog/run"

	"github.com/lastcall-go/lastcall/bench/child"
)

// oklog is github.com/oklog/run: actors are interrupted one after the other when the
// first of them ends, and Run waits for all; main closes after it.
func oklog(p *child.Process) int {
	if p.Open(context.Background()) != nil { // signals are heard from Run on
		return 1
	}
	var g run.Group
	g.Add(run.SignalHandler(context.Background(), syscall.SIGTERM, syscall.SIGINT))
	for range p.Workers {
		ctx, cancel := context.WithCancel(context.Background())
		g.Add(func() error { return p.Work(ctx) }, func(error) { cancel() })
	}
	switch p.Proto {
	case "":
	case "grpc":
		srv := p.GRPCServer()
		g.Add(func() error { return srv.Serve(p.Lis) }, func(error) {
			p.Health.Shutdown()
			srv.GracefulStop()
		})
	default:
		srv := p.HTTPServer()
		g.Add(func() error { return p.ServeHTTP(srv) }, func(error) {
			grace, cancel := context.WithTimeout(context.Background(), p.Grace)
			defer cancel()
			_ = srv.Shutdown(grace)
		})
	}
	err := g.Run()
	p.CloseAll()
	if err != nil && !errors.Is(err, run.ErrSignal) {
		return 1
	}
	return 0
}
