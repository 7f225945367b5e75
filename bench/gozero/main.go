// Command gozero is the bench's child for github.com/zeromicro/go-zero: a binary of its
// own, because go-zero takes the signals of every process that links its core/proc.
package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"strconv"

	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/proc"
	"github.com/zeromicro/go-zero/core/service"
	"github.com/zeromicro/go-zero/rest"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"

	"github.com/lastcall-go/lastcall/bench/child"
)

func main() {
	if len(os.Args) == 3 { // -child and what it is to do
		os.Exit(child.Main(map[string]child.Peer{"go-zero": run}, os.Args[2]))
	}
	os.Exit(2)
}

// run runs the process as a go-zero service: servers and workers in a ServiceGroup,
// dependencies closed by shutdown listeners, the time to the end set in its ShutdownConf.
// Whoever closes after Start instead closes as bare GracefulStop's main does.
func run(p *child.Process) int {
	if p.Lis != nil {
		_ = p.Lis.Close() // go-zero listens itself
	}
	if p.Open(context.Background()) != nil { // go-zero has no context for that
		return 1
	}
	group := service.NewServiceGroup()
	for _, d := range p.Dependencies() {
		proc.AddShutdownListener(func() { _ = d.Close(context.Background()) })
	}
	proc.AddShutdownListener(func() { _ = p.Flush(context.Background()) })
	for range p.Workers {
		ctx, cancel := context.WithCancel(context.Background())
		group.Add(worker{func() { _ = p.Work(ctx) }, cancel})
	}
	switch p.Proto {
	case "":
		proc.Setup(proc.ShutdownConf{WaitTime: p.Budget})
	case "grpc":
		c := configured[zrpc.RpcServerConf](p, func(c *zrpc.RpcServerConf) *service.ServiceConf { return &c.ServiceConf })
		c.ListenOn, c.Timeout = p.Addr, 0
		srv := zrpc.MustNewServer(c, func(s *grpc.Server) { p.Register(s) })
		srv.AddOptions(p.Opts...)
		group.Add(srv)
	default:
		c := configured[rest.RestConf](p, func(c *rest.RestConf) *service.ServiceConf { return &c.ServiceConf })
		host, port, _ := net.SplitHostPort(p.Addr)
		c.Host, c.Timeout = host, 0
		c.Port, _ = strconv.Atoi(port)
		srv := rest.MustNewServer(c)
		srv.AddRoute(rest.Route{Method: http.MethodGet, Path: "/:does", Handler: p.Handler().ServeHTTP})
		group.Add(srv)
	}
	group.Start()
	return 0
}

// configured returns a configuration with go-zero's defaults and the process's time.
func configured[C any](p *child.Process, common func(*C) *service.ServiceConf) C {
	var c C
	logx.Must(conf.FillDefault(&c))
	s := common(&c)
	s.Name, s.Log.Encoding, s.Shutdown.WaitTime = "bench", "plain", p.Budget
	return c
}

type worker struct{ start, stop func() }

func (w worker) Start() { w.start() }
func (w worker) Stop()  { w.stop() }
