package main

import (
	"net"
	"net/http"
	"strings"
	"time"

	pb "google.golang.org/grpc/examples/helloworld/helloworld"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
)

// oneServer is an http.Server that speaks HTTP/1.1 and HTTP/2, and hands RPCs on.
func oneServer(lis net.Listener) []controller.Option {
	g := grpcadapter.New(nil, grpcadapter.OverHTTP())
	pb.RegisterGreeterServer(g.NewServer(), greeter{})
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	web := site()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			g.ServeHTTP(w, r)
		} else {
			web.ServeHTTP(w, r)
		}
	})
	front := &http.Server{Protocols: protocols, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	return []controller.Option{
		controller.WithServer("web", httpadapter.New(lis, front)),
		controller.WithServer("grpc", g, controller.After("web")),
	}
}
