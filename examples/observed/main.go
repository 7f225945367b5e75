// Command observed is a greeter whose shutdown can be seen in four ways, which agree: the
// log (slog), Prometheus, OpenTelemetry, and the report.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdoutmetric"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	echopb "google.golang.org/grpc/examples/features/proto/echo"
	pb "google.golang.org/grpc/examples/helloworld/helloworld"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/admin"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/oteladapter"
	"github.com/lastcall-go/lastcall/promadapter"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/slogadapter"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:50051", "address of the gRPC server")
	adminAddr := flag.String("admin", "127.0.0.1:9090", "address of the admin server, with /metrics")
	traces := flag.String("traces", "traces.json", "file to which spans are written")
	metrics := flag.String("metrics", "metrics.json", "file to which the metrics of OpenTelemetry are written")
	file := flag.String("report", "report.json", "file to which the report is written")
	scrape := flag.Duration("scrape", 15*time.Second, "how long the last scrape is waited for")
	total := flag.Duration("total", 25*time.Second, "how long a shutdown may take")
	reserve := flag.Duration("reserve", 5*time.Second, "what of it is left for what comes after the timer, with the last scrape")
	settle := flag.Duration("settle", 2*time.Second, "settle of the budget")
	flag.Parse()
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	budget := lastcall.Budget{Total: *total, Settle: *settle, Reserve: *reserve}

	ctl, err := controller.New(budget, slogadapter.WithLogger(log))
	if err == nil {
		err = open(ctl, log, *addr, *adminAddr, *traces, *metrics, *scrape)
	}
	if err != nil {
		log.Error("start", "error", err)
		os.Exit(report.ExitFailed)
	}
	got := ctl.Run(context.Background())
	if err := write(*file, got); err != nil {
		log.Error("report", "error", err)
	}
	os.Exit(got.ExitCode())
}

// open gives the controller what there is to see with, and the servers.
func open(ctl *controller.Controller, log *slog.Logger, addr, adminAddr, traces, metrics string, scrape time.Duration) error {
	spans, err := os.Create(traces) //nolint:gosec // the path is the operator's
	if err != nil {
		return err
	}
	numbers, err := os.Create(metrics) //nolint:gosec // the same
	if err != nil {
		return err
	}
	toSpans, err := stdouttrace.New(stdouttrace.WithWriter(spans))
	if err != nil {
		return err
	}
	toNumbers, err := stdoutmetric.New(stdoutmetric.WithWriter(numbers))
	if err != nil {
		return err
	}
	tp := sdktrace.NewTracerProvider(sdktrace.WithBatcher(toSpans))
	mp := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(toNumbers)))
	o := oteladapter.New(oteladapter.WithTracerProvider(tp), oteladapter.WithMeterProvider(mp))
	m := promadapter.New()
	reg := prometheus.NewRegistry()
	if err := reg.Register(m); err != nil {
		return err
	}

	lis, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	adminLis, err := net.Listen("tcp", adminAddr)
	if err != nil {
		return err
	}
	g := grpcadapter.New(lis)
	srv := g.NewServer()
	pb.RegisterGreeterServer(srv, greeter{})
	echopb.RegisterEchoServer(srv, echo{})
	log.Info("listening", "addr", lis.Addr().String(), "admin", adminLis.Addr().String())
	return ctl.Add(
		m.Option(),
		o.Option(),
		controller.WithServer("grpc", g),
		controller.WithServer("admin", admin.New(adminLis, admin.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{})))),
		controller.WithFlusher("traces", tp.Shutdown),
		controller.WithFlusher("metrics", mp.Shutdown),
		controller.WithFlusher("last scrape", m.LastScrape(scrape)),
	)
}

func write(file string, got report.Report) error {
	text, err := json.Marshal(got)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}
