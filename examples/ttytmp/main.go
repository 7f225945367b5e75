package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	echopb "google.golang.org/grpc/examples/features/proto/echo"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/httpadapter"
)

type echo struct{ echopb.UnimplementedEchoServer }

var mu sync.Mutex

func (echo) BidirectionalStreamingEcho(s grpc.BidiStreamingServer[echopb.EchoRequest, echopb.EchoResponse]) error {
	if err := s.SendHeader(nil); err != nil {
		return err
	}
	m, _ := s.Recv()
	if m.GetMessage() == "deaf" {
		select {}
	}
	d, _ := time.ParseDuration(m.GetMessage())
	time.Sleep(d)
	return nil
}

func main() {
	log := zerolog.New(zerolog.ConsoleWriter{Out: os.Stderr, TimeFormat: "15:04:05.000"}).With().Timestamp().Logger()
	if len(os.Args) > 1 && os.Args[1] == "json" {
		log = zerolog.New(os.Stderr).With().Timestamp().Logger()
	}
	lis, _ := net.Listen("tcp", "127.0.0.1:0")
	wlis, _ := net.Listen("tcp", "127.0.0.1:0")
	g := grpcadapter.New(lis)
	echopb.RegisterEchoServer(g.NewServer(), echo{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) { time.Sleep(3500 * time.Millisecond) })
	ctl, err := controller.New(lastcall.Budget{Total: 14 * time.Second, Settle: 2 * time.Second, Reserve: 6 * time.Second}, controller.WithLogger(log),
		controller.WithServer("grpc", g),
		controller.WithServer("web", httpadapter.New(wlis, &http.Server{Handler: mux, ReadHeaderTimeout: time.Second})),
		controller.WithWorker("consumer", func(claim, _ context.Context) error {
			<-claim.Done()
			time.Sleep(4500 * time.Millisecond)
			return nil
		}),
		controller.WithCloser("postgres", func() { mu.Lock(); mu.Lock() }),
		controller.WithFlusher("traces", func() { time.Sleep(1200 * time.Millisecond) }))
	if err != nil {
		panic(err)
	}
	go func() {
		<-ctl.Serving()
		for _, m := range []string{"deaf", "1500ms", "2500ms", "2600ms"} {
			c, _ := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
			s, err := echopb.NewEchoClient(c).BidirectionalStreamingEcho(context.Background())
			if err == nil {
				_, _ = s.Header()
				_ = s.Send(&echopb.EchoRequest{Message: m})
			}
		}
		go func() { _, _ = http.Get("http://" + wlis.Addr().String() + "/orders/7?token=secret") }()
		time.Sleep(200 * time.Millisecond)
		fmt.Println("READY")
	}()
	r := ctl.Run(context.Background())
	fmt.Print(r)
	os.Exit(r.ExitCode())
}
