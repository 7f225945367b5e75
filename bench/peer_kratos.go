package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/transport"
	kgrpc "github.com/go-kratos/kratos/v2/transport/grpc"
	khttp "github.com/go-kratos/kratos/v2/transport/http"

	"github.com/lastcall-go/lastcall/bench/child"
)

// goKratos is github.com/go-kratos/kratos/v2: servers and workers are transport servers
// with Start and Stop, dependencies are closed in AfterStop hooks.
func goKratos(p *child.Process) int {
	var servers []transport.Server
	switch p.Proto {
	case "":
	case "grpc":
		srv := kgrpc.NewServer(kgrpc.Listener(p.Lis), kgrpc.Timeout(0), kgrpc.Options(p.Opts...))
		p.Register(srv)
		servers = append(servers, srv)
	default:
		srv := khttp.NewServer(khttp.Listener(p.Lis), khttp.Timeout(0), khttp.TLSConfig(p.TLSConfig()))
		srv.HandlePrefix("/", p.Handler())
		srv.Protocols = p.Protocols()
		servers = append(servers, srv)
	}
	for range p.Workers {
		ctx, cancel := context.WithCancel(context.Background())
		servers = append(servers, worker{func() error { return p.Work(ctx) }, cancel})
	}
	opts := []kratos.Option{kratos.Name("bench"), kratos.StopTimeout(p.Grace), kratos.BeforeStart(p.Open), kratos.Server(servers...)}
	all := p.Dependencies()
	slices.Reverse(all) // AfterStop hooks run in the order in which they are given
	for _, d := range all {
		opts = append(opts, kratos.AfterStop(d.Close))
	}
	opts = append(opts, kratos.AfterStop(p.Flush))
	if err := kratos.New(opts...).Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// worker is a worker as a transport server.
type worker struct {
	run    func() error
	cancel func()
}

func (w worker) Start(context.Context) error { return w.run() }
func (w worker) Stop(context.Context) error  { w.cancel(); return nil }
