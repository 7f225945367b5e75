package main

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/lastcall-go/lastcall/bench/child"
)

// group is golang.org/x/sync/errgroup: one goroutine serves, one waits for the signal
// and stops, each worker is one more; main closes after Wait.
func group(p *child.Process) int {
	sig, stop := p.Context()
	defer stop()
	if p.Open(sig) != nil {
		return 1
	}
	g, ctx := errgroup.WithContext(sig)
	for range p.Workers {
		g.Go(func() error { return p.Work(ctx) })
	}
	switch p.Proto {
	case "":
		g.Go(func() error { <-ctx.Done(); return nil })
	case "grpc":
		srv := p.GRPCServer()
		g.Go(func() error { return srv.Serve(p.Lis) })
		g.Go(func() error {
			<-ctx.Done()
			p.Health.Shutdown()
			srv.GracefulStop()
			return nil
		})
	default:
		srv := p.HTTPServer()
		g.Go(func() error { return p.ServeHTTP(srv) })
		g.Go(func() error {
			<-ctx.Done()
			grace, cancel := context.WithTimeout(context.Background(), p.Grace)
			defer cancel()
			return srv.Shutdown(grace)
		})
	}
	err := g.Wait()
	p.CloseAll()
	if err != nil {
		return 1
	}
	return 0
}
