// Command full is a guest book: a gRPC server with a REST API in front of it, workers,
// mails in the background, an embedded database, a log and traces that are flushed at
// the end, and an admin port. It shows what is opened, in which order, and how all of
// it comes to its end.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/kubernetes"
	"github.com/lastcall-go/lastcall/systemd"
)

// exitUsage is the exit code for flags that cannot be. The others are those of
// [report.Report.ExitCode].
const exitUsage = 2

// config is what the flags and the environment say.
type config struct {
	grpcAddr, restAddr, adminAddr string
	guestBook, events, traces     string
	grace, preStop                time.Duration
	work, census                  time.Duration
	goroutines                    string
	token                         string

	listen func(addr string) (net.Listener, error)
	dial   func(ctx context.Context, addr string) (net.Conn, error) // from the REST API to the gRPC server
}

func main() {
	c := config{
		token:  os.Getenv("SHUTDOWN_TOKEN"),
		listen: func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) },
		dial: func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		},
	}
	flag.StringVar(&c.grpcAddr, "addr", "127.0.0.1:50051", "address of the gRPC server")
	flag.StringVar(&c.restAddr, "rest", "127.0.0.1:8080", "address of the REST server")
	flag.StringVar(&c.adminAddr, "admin", "127.0.0.1:9090", "address of the admin server: /readyz, /livez, /metrics, and\nPOST /shutdown if the environment has a SHUTDOWN_TOKEN")
	flag.StringVar(&c.guestBook, "guestbook", "guestbook.db", "file of the guest book")
	flag.StringVar(&c.events, "events", "events.log", "file to which events are written")
	flag.StringVar(&c.traces, "traces", "traces.json", "file to which traces are written")
	flag.DurationVar(&c.grace, "grace", 30*time.Second, "terminationGracePeriodSeconds of the pod")
	flag.DurationVar(&c.preStop, "prestop", 0, "time that the pod's preStop hook takes")
	flag.DurationVar(&c.work, "work", 10*time.Millisecond, "how long a greeting takes, and the mail after it")
	flag.DurationVar(&c.census, "census", time.Minute, "time between two runs of the scheduled job")
	flag.StringVar(&c.goroutines, "goroutines", "", "file for a profile of the goroutines that are left at the end")
	flag.Parse()
	os.Exit(c.run())
}

// run returns the exit code.
func (c config) run() int {
	log := zerolog.New(os.Stderr).With().Timestamp().Logger()
	budget, err := kubernetes.Budget(c.grace, c.preStop)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitUsage
	}
	ctl, err := controller.New(budget, controller.WithLogger(log), systemd.Notify())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitUsage
	}
	if err := c.open(ctl.Starting(context.Background()), ctl, log); err != nil {
		ctl.Fail(err) // Run logs it, starts nothing, and closes what is open; after a signal it changes nothing
	}
	got := ctl.Run(context.Background())
	if err := writeGoroutines(c.goroutines); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return got.ExitCode()
}
