package drain_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
)

// A server of a line-based protocol, with an accept loop of its own. When it shuts
// down, the client that is waiting between two requests sees the end of the stream,
// and the one whose request is being worked on gets its answer first.
func Example() {
	working, finish := make(chan struct{}), make(chan struct{})
	answer := func(line string) string {
		if line == "slow\n" {
			close(working)
			<-finish
		}
		return strings.ToUpper(line)
	}
	serve := func(conn *drain.Conn) {
		defer conn.Close()
		r := bufio.NewReader(conn)
		for r.Buffered() > 0 || conn.Idle() {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if _, err := fmt.Fprint(conn, answer(line)); err != nil {
				return
			}
		}
	}
	accept := func(lis net.Listener, watcher drain.Watcher) error {
		for {
			conn, err := lis.Accept()
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			if err != nil {
				return err
			}
			watched, err := watcher.WatchConn(context.Background(), "lines", conn)
			if err != nil {
				conn.Close()
				continue
			}
			go serve(watched)
		}
	}

	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	g := drain.New()
	lis = g.Listen(lis)
	ctl, err := controller.New(lastcall.Budget{Total: 10 * time.Second, Reserve: 2 * time.Second},
		controller.WithServer("lines", g,
			controller.Serving(func() error { return accept(lis, g.Watcher()) }, nil)),
		controller.WithSignals()) // in a real program without this: SIGTERM and SIGINT
	if err != nil {
		fmt.Println(err)
		return
	}
	go ctl.Run(context.Background())

	dial := func() (net.Conn, *bufio.Reader) {
		conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", lis.Addr().String())
		if err != nil {
			fmt.Println(err)
			return nil, nil
		}
		return conn, bufio.NewReader(conn)
	}
	idle, fromIdle := dial()
	busy, fromBusy := dial()
	defer idle.Close()
	defer busy.Close()
	send := func(conn net.Conn, line string) {
		if _, err := fmt.Fprint(conn, line); err != nil {
			fmt.Println(err)
		}
	}
	send(idle, "hello\n")
	line, _ := fromIdle.ReadString('\n')
	fmt.Printf("idle: %q\n", line)
	send(busy, "slow\n")
	<-working

	ctl.Shutdown(errors.New("asked for"))
	_, err = fromIdle.ReadString('\n')
	fmt.Println("idle:", err)
	close(finish)
	line, _ = fromBusy.ReadString('\n')
	fmt.Printf("busy: %q\n", line)
	_, err = fromBusy.ReadString('\n')
	fmt.Println("busy:", err)

	report, err := ctl.Wait(context.Background())
	fmt.Println(report.Outcome, err)
	// Output:
	// idle: "HELLO\n"
	// idle: EOF
	// busy: "SLOW\n"
	// busy: EOF
	// drained <nil>
}

// What a handler leaves running has a group of its own. After closes it only when
// the server whose handlers use it has drained, so that these can start work to the
// last; from then on it is waited for, and closers come after it.
func ExampleWatcher_Go() {
	orders := drain.New() // stands for a server with handlers; "grpc" or "http" as well
	background := drain.New()
	ctl, err := controller.New(lastcall.Budget{Total: 10 * time.Second, Reserve: 2 * time.Second},
		controller.WithServer("orders", orders),
		controller.WithServer("background", background, controller.After("orders")),
		controller.WithCloser("mail", func() { fmt.Println("the connection to the mail server is closed") }),
		controller.WithSignals())
	if err != nil {
		fmt.Println(err)
		return
	}
	tasks := background.Watcher()

	// A handler that returns during the drain and leaves something to be done.
	began := make(chan struct{})
	err = orders.Watcher().Go(context.Background(), "handler", func(ctx context.Context) {
		close(began)
		<-lastcall.Draining(ctx)
		err := tasks.Go(ctx, "confirmation", func(context.Context) {
			fmt.Println("a mail is sent")
		})
		fmt.Println("the order is taken:", err)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	time.AfterFunc(0, func() { <-began; ctl.Shutdown(errors.New("asked for")) })
	report := ctl.Run(context.Background())
	fmt.Println(report.Outcome)
	fmt.Println(tasks.Go(context.Background(), "too late", func(context.Context) {}))
	// Unordered output:
	// the order is taken: <nil>
	// a mail is sent
	// the connection to the mail server is closed
	// drained
	// drain: the group is closed and takes no new work
}

// A protocol in which the server says goodbye.
func ExampleHandle_Tell() {
	g := drain.New()
	ctl, err := controller.New(lastcall.Budget{Total: 10 * time.Second, Reserve: 2 * time.Second},
		controller.WithServer("sessions", g), controller.WithSignals())
	if err != nil {
		fmt.Println(err)
		return
	}
	session, err := g.Watcher().Watch(context.Background(), "session")
	if err != nil {
		fmt.Println(err)
		return
	}
	session.Tell(func() {
		fmt.Println("goodbye")
		session.Done()
	})
	time.AfterFunc(0, func() { ctl.Shutdown(errors.New("asked for")) })
	fmt.Println(ctl.Run(context.Background()).Outcome)
	// Output:
	// goodbye
	// drained
}
