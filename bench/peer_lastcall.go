package main

import (
	"context"
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/bench/child"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// lastcallNew is lastcall with a server that its adapter has built.
func lastcallNew(p *child.Process) int {
	return controlled(p, func() lastcall.FullServer {
		g := grpcadapter.New(p.Lis)
		p.Register(g.NewServer(p.Opts...))
		return g
	})
}

// lastcallUse is lastcall with a gRPC server that something else has built.
func lastcallUse(p *child.Process) int {
	return controlled(p, func() lastcall.FullServer {
		return grpcadapter.Use(p.GRPCServer(), grpcadapter.WithListener(p.Lis), grpcadapter.WithHealth(p.Health))
	})
}

// controlled runs the process under a controller.
func controlled(p *child.Process, rpc func() lastcall.FullServer) int {
	log := controller.WithLogger(zerolog.New(os.Stderr))
	if p.Silent {
		log = controller.WithoutStderr()
	}
	ctl, err := controller.New(lastcall.Budget{Total: p.Budget, Settle: p.Settle, Reserve: p.Budget - p.Grace}, log)
	if err != nil {
		return fail(err)
	}
	if err := open(p, ctl, rpc); err != nil {
		ctl.Fail(err) // after a signal that is not a failure
	}
	p.OnForce(ctl.Force)
	report := ctl.Run(context.Background())
	p.Bound(report.Deadline)
	return report.ExitCode()
}

// open opens the dependencies and adds all that the process has.
func open(p *child.Process, ctl *controller.Controller, rpc func() lastcall.FullServer) error {
	if p.Opening > 0 {
		if err := p.Open(ctl.Starting(context.Background())); err != nil {
			return err
		}
	}
	var all []controller.Option
	switch p.Proto {
	case "":
	case "grpc":
		all = append(all, controller.WithServer("grpc", rpc()))
	default:
		srv := p.HTTPServer()
		var opts []httpadapter.Option
		if srv.TLSConfig != nil {
			opts = append(opts, httpadapter.WithTLS("", "")) // its certificates
		}
		all = append(all, controller.WithServer("http", httpadapter.New(p.Lis, srv, opts...)))
	}
	for i := range p.Workers {
		all = append(all, controller.WithWorker(fmt.Sprint("w", i), func(claim, _ context.Context) error { return p.Work(claim) }))
	}
	for _, d := range p.Dependencies() {
		all = append(all, controller.WithCloser(d.Name, d.Close))
	}
	return ctl.Add(append(all, controller.WithFlusher("telemetry", p.Flush))...)
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}
