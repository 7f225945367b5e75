package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/examples/helloworld/helloworld"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/report"
)

// Both ways serve gRPC and HTTP, and end with exit code 0, at most a second after the last
// call although there are peers that say nothing, or stop in the middle of their first
// words.
func TestOnePort(t *testing.T) {
	for name, servers := range map[string]func(net.Listener) []controller.Option{"http.Server": oneServer, "cmux": twoServers} {
		for _, says := range []string{"nobody", "", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HT"} {
			t.Run(fmt.Sprintf("%s/%q", name, says), func(t *testing.T) {
				t.Parallel()
				lis, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				addr := lis.Addr().String()
				budget := lastcall.Budget{Total: 20 * time.Second, Reserve: 5 * time.Second, Settle: time.Second}
				ctl, err := controller.New(budget, append(servers(lis), controller.WithSignals())...)
				if err != nil {
					t.Fatal(err)
				}
				end := make(chan report.Report, 1)
				go func() { end <- ctl.Run(context.Background()) }()
				<-ctl.Serving()
				conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				call := func() {
					t.Helper()
					reply, err := pb.NewGreeterClient(conn).SayHello(t.Context(), &pb.HelloRequest{Name: "gopher"})
					if err != nil || reply.GetMessage() != "Hello gopher" {
						t.Errorf("gRPC: %v, %v", reply, err)
					}
					req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/hello", nil)
					if err != nil {
						t.Fatal(err)
					}
					resp, err := http.DefaultClient.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					defer resp.Body.Close()
					if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "Hello" {
						t.Errorf("HTTP: %q, %v", body, err)
					}
				}
				call()
				asked := time.Now()
				ctl.Shutdown(nil)
				call() // in the settle
				time.Sleep(time.Until(asked.Add(800 * time.Millisecond)))
				if says != "nobody" { // as late as they can come
					peer, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
					if err != nil {
						t.Fatal(err)
					}
					defer peer.Close()
					if _, err := io.WriteString(peer, says); err != nil {
						t.Fatal(err)
					}
				}
				r := <-end
				if r.ExitCode() != report.ExitOK || r.Took() > budget.Settle+1500*time.Millisecond {
					t.Error(r)
				}
			})
		}
	}
}
