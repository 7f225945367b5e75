package main

import (
	"context"

	"github.com/lastcall-go/lastcall/bench/child"
)

// shutdown is net/http's Shutdown with a deadline, and Close after it.
func shutdown(p *child.Process) int {
	ctx, stop := p.Context()
	defer stop()
	if p.Open(ctx) != nil {
		return 1
	}
	srv, wait := p.HTTPServer(), p.StartWorkers(ctx)
	go func() {
		if err := p.ServeHTTP(srv); err != nil {
			panic(err)
		}
	}()
	<-ctx.Done()
	grace, cancel := context.WithTimeout(context.Background(), p.Grace)
	defer cancel()
	if srv.Shutdown(grace) != nil {
		_ = srv.Close()
	}
	wait()
	p.CloseAll()
	return 0
}
