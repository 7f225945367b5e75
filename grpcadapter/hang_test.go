package grpcadapter_test

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"
)

// A peer that says nothing, and whose connection hangs in Close, does not keep other clients from
// getting their GOAWAY.
func TestCloseHangsBeforeGOAWAY(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, block := inner.Addr().String(), make(chan struct{})
	lis := faults.Conns(inner, faults.In{faults.Close: faults.Hang(block)})
	s := grpcadapter.New(grpcadapter.WrapListener(lis, grpcadapter.HandshakeTime(50*time.Millisecond)))
	s.NewServer()
	ctl, err := controller.New(lastcall.Budget{Total: time.Minute, Reserve: time.Second}, controller.WithServer("grpc", s), controller.WithSignals())
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan report.Report, 1)
	go func() { over <- ctl.Run(context.Background()) }()
	<-ctl.Serving()
	silent, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	client, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := healthpb.NewHealthClient(client).Check(t.Context(), &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
	ctl.Shutdown(nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if !client.WaitForStateChange(ctx, connectivity.Ready) {
		t.Error("the client got no GOAWAY in 10 s")
	}
	close(block)
	if r := <-over; r.Outcome != report.OutcomeDrained {
		t.Errorf("outcome %v\n%v", r.Outcome, r)
	}
}
