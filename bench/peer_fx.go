package main

import (
	"context"

	"go.uber.org/fx"

	"github.com/lastcall-go/lastcall/bench/child"
)

// uberFX is go.uber.org/fx: everything is a hook of the lifecycle, and hooks stop in
// reverse order. Run ends the process itself if a hook fails or the time is over.
func uberFX(p *child.Process) int {
	fx.New(
		fx.StopTimeout(p.Budget),
		fx.Invoke(func(lc fx.Lifecycle) {
			lc.Append(fx.StartHook(p.Open))
			lc.Append(fx.StopHook(p.Flush))
			for _, d := range p.Dependencies() {
				lc.Append(fx.StopHook(d.Close))
			}
			ctx, cancel := context.WithCancel(context.Background())
			var wait func()
			lc.Append(fx.StartStopHook(func() { wait = p.StartWorkers(ctx) }, func() { cancel(); wait() }))
			switch p.Proto {
			case "":
			case "grpc":
				srv := p.GRPCServer()
				lc.Append(fx.StartStopHook(func() { go serve(srv, p) }, func() {
					p.Health.Shutdown()
					srv.GracefulStop()
				}))
			default:
				srv := p.HTTPServer()
				lc.Append(fx.StartStopHook(func() { go func() { _ = p.ServeHTTP(srv) }() }, srv.Shutdown))
			}
		}),
	).Run()
	return 0
}
