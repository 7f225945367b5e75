package controller_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/controller"
)

// listen returns a listener on loopback that is closed with the test.
func listen(t *testing.T) net.Listener {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lis.Close() })
	return lis
}

// G8: whatever a worker returns when it was told to end is its end, from real servers,
// clients and child processes too; unless it says that it has failed.
func TestG8_WhatWorkersReturnWhenToldToEnd(t *testing.T) {
	watched := listen(t)
	srv := grpc.NewServer()
	healthgrpc.RegisterHealthServer(srv, health.NewServer())
	go func() { _ = srv.Serve(watched) }()
	t.Cleanup(srv.Stop)
	conn, err := grpc.NewClient(watched.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })

	toldThen := func(err error) func(context.Context) error {
		return func(claim context.Context) error { <-claim.Done(); return err }
	}
	errDisk := errors.New("disk full")
	for name, tt := range map[string]struct {
		work func(claim context.Context) error
		is   func(error) bool // whether the report has its error
		exit int
	}{
		"a stream of gRPC": {func(claim context.Context) error {
			watch, err := healthgrpc.NewHealthClient(conn).Watch(claim, &healthgrpc.HealthCheckRequest{})
			for err == nil {
				_, err = watch.Recv()
			}
			return fmt.Errorf("watch: %w", err)
		}, func(err error) bool { return status.Code(err) == codes.Canceled }, report.ExitOK},
		"an RPC that the end has overtaken": {toldThen(status.Error(codes.DeadlineExceeded, "too late")), nil, report.ExitOK},
		"an http.Server": {func(claim context.Context) error {
			web := &http.Server{ReadHeaderTimeout: time.Second}
			context.AfterFunc(claim, func() { _ = web.Close() })
			return web.Serve(listen(t))
		}, func(err error) bool { return errors.Is(err, http.ErrServerClosed) }, report.ExitOK},
		"an accept loop": {func(claim context.Context) error {
			lis := listen(t)
			context.AfterFunc(claim, func() { _ = lis.Close() })
			_, err := lis.Accept()
			return err
		}, func(err error) bool { return errors.Is(err, net.ErrClosed) }, report.ExitOK},
		"a gRPC server": {func(claim context.Context) error {
			s := grpc.NewServer()
			<-claim.Done()
			s.Stop()
			return s.Serve(listen(t))
		}, func(err error) bool { return errors.Is(err, grpc.ErrServerStopped) }, report.ExitOK},
		"a queue":                      {toldThen(io.EOF), nil, report.ExitOK},
		"any other error":              {toldThen(errDisk), nil, report.ExitOK},
		"a failure":                    {toldThen(lastcall.Failed(errDisk)), func(err error) bool { return errors.Is(err, errDisk) }, report.ExitStep},
		"a failure among others":       {toldThen(errors.Join(context.Canceled, fmt.Errorf("flush: %w", lastcall.Failed(errDisk)))), nil, report.ExitStep},
		"no failure":                   {toldThen(lastcall.Failed(nil)), func(err error) bool { return err == nil }, report.ExitOK},
		"a panic":                      {func(claim context.Context) error { <-claim.Done(); panic("as written") }, func(error) bool { return true }, report.ExitStep},
		"an error before it was told":  {func(context.Context) error { return io.EOF }, nil, report.ExitFailed},
		"a failure before it was told": {func(context.Context) error { return lastcall.Failed(errDisk) }, nil, report.ExitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			c := mustNew(t, lastcall.Budget{Total: 10 * time.Second, Reserve: time.Second}, noSignals,
				controller.WithWorker("w", func(claim, _ context.Context) error { return tt.work(claim) }))
			go func() {
				<-c.Serving()
				if tt.exit != report.ExitFailed { // that ends the process by itself
					c.Shutdown(nil)
				}
			}()
			r := c.Run(context.Background())
			wantExit(t, r, tt.exit)
			if tt.is == nil {
				tt.is = func(err error) bool { return err != nil }
			}
			if s := step(t, r, report.OpWork, "w"); !tt.is(s.Err) {
				t.Errorf("the report has %v, error %v", s, s.Err)
			}
		})
	}
}

// G8: a child process that is killed because its worker was told to end has not failed.
func TestG8_ChildThatEndsWithItsClaim(t *testing.T) {
	var c *controller.Controller
	c = mustNew(t, lastcall.Budget{Total: 10 * time.Second, Reserve: time.Second}, noSignals,
		controller.WithWorker("child", func(claim, _ context.Context) error {
			cmd := exec.CommandContext(claim, "sleep", "60")
			if err := cmd.Start(); err != nil {
				return err
			}
			c.Shutdown(nil)
			return cmd.Wait()
		}))
	r := c.Run(context.Background())
	wantExit(t, r, report.ExitOK)
	if s := step(t, r, report.OpWork, "child"); s.Text != "signal: killed" {
		t.Errorf("the report has %v", s)
	}
}

// hangingError is an error of which the methods that package errors calls hang.
type hangingError struct{ hang func() }

func (hangingError) Error() string   { return "hangs when asked" }
func (e hangingError) Is(error) bool { e.hang(); return false }
func (e hangingError) As(any) bool   { e.hang(); return false }
func (e hangingError) Unwrap() error { e.hang(); return nil }

// G1: what a worker, a closer or a flusher returns is looked at where its methods may hang.
func TestG1_ErrorsThatHangWhenAsked(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		err := hangingError{hang}
		c := mustNew(t, budget, noSignals,
			controller.WithWorker("w", func(claim, _ context.Context) error { <-claim.Done(); return err }),
			controller.WithAnnouncer("a", func() error { return err }),
			controller.WithCloser("c", func() error { return err }),
			controller.WithFlusher("f", func() error { return err }))
		r, took := runAfter(c, time.Minute)
		wantTook(t, took, budget.Total)
		wantExit(t, r, report.ExitAbandoned)
		if n := len(r.Abandoned()); n != 4 {
			t.Errorf("%d calls are abandoned, want 4\n%v", n, r)
		}
	})
}
