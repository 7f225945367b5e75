package main

import (
	"os"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"

	"github.com/lastcall-go/lastcall/bench/child"
)

// graceful is a bare GracefulStop.
func graceful(p *child.Process) int {
	return bareRPC(p, func(srv *grpc.Server) {
		p.Health.Shutdown()
		srv.GracefulStop()
	})
}

// logged is GracefulStop in a main that logs what lastcall logs after it: four lines, with
// as many fields.
func logged(p *child.Process) int {
	return bareRPC(p, func(srv *grpc.Server) {
		signalled := time.Now()
		p.Health.Shutdown()
		srv.GracefulStop()
		if p.Silent {
			return
		}
		log := zerolog.New(os.Stderr)
		line := func(phase string) *zerolog.Event {
			took := time.Since(signalled)
			left := p.Budget - took
			return log.Info().Str("state", "stopped").Str("phase", phase).Str("elapsed", took.String()).Float64("elapsed_seconds", took.Seconds()).
				Str("remaining", left.String()).Float64("remaining_seconds", left.Seconds())
		}
		line("close").Str("event", "drained").Msg("GracefulStop has returned")
		line("close").Msg("closing")
		line("flush").Msg("flushing")
		line("flush").Str("cause", "signal: terminated").Bool("forced", false).Strs("path", []string{"serving", "draining", "stopped"}).
			Int("failed_steps", 0).Int("exit_code", 0).Msg("shutdown complete")
	})
}

// stop is a bare Stop.
func stop(p *child.Process) int { return bareRPC(p, (*grpc.Server).Stop) }

// timer is GracefulStop with a timer that calls Stop, as in grpc-go's
// examples/features/gracefulstop.
func timer(p *child.Process) int {
	return bareRPC(p, func(srv *grpc.Server) {
		p.Health.Shutdown()
		force := time.AfterFunc(p.Grace, srv.Stop)
		defer force.Stop()
		srv.GracefulStop()
	})
}

func bareRPC(p *child.Process, end func(*grpc.Server)) int {
	return bare(p, func() (run, stop func()) {
		srv := p.GRPCServer()
		return func() { serve(srv, p) }, func() { end(srv) }
	})
}

// bare is a main around a server: run it, and stop it at the signal.
func bare(p *child.Process, server func() (run, stop func())) int {
	ctx, done := p.Context()
	defer done()
	if p.Open(ctx) != nil {
		return 1
	}
	run, stop := server()
	wait := p.StartWorkers(ctx)
	go run()
	<-ctx.Done()
	stop()
	wait()
	p.CloseAll()
	return 0
}

// clock stops nothing: a signal, a timer, the end. It shows what the machine allows.
func clock(p *child.Process) int {
	ctx, done := p.Context()
	defer done()
	if p.Lis != nil { // served, so that the process is of the same kind
		go serve(p.GRPCServer(), p)
	}
	<-ctx.Done()
	p.Bound(time.Now().Add(p.Budget))
	<-time.After(p.Budget)
	return 0
}

// serve serves on the process's listener. An error is the bench's own.
func serve(srv *grpc.Server, p *child.Process) {
	if err := srv.Serve(p.Lis); err != nil {
		panic(err)
	}
}
