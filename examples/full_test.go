//go:build unix

package examples_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	echopb "google.golang.org/grpc/examples/features/proto/echo"
	hellopb "google.golang.org/grpc/examples/helloworld/helloworld"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/report"
)

// TestFull puts a guest book under load, through gRPC and through REST, sends it
// SIGTERM, and compares what the clients were told with what is on the disk
// afterwards.
func TestFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := open(t, dir, append(roomy, "-census=5ms")...)

	// A stream that would never end by itself, and a client that probes health.
	stream, err := echopb.NewEchoClient(dial(t, g.addr)).ServerStreamingEcho(t.Context(), &echopb.EchoRequest{Message: "still here"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	leaving := probeHealth(t, dial(t, g.addr))

	// Polite clients stop when health, or readiness, says so, as a load balancer makes
	// them do. Stubborn ones go on until they are refused.
	load := &load{leaving: leaving, acknowledged: map[uint64]string{}}
	var clients sync.WaitGroup
	for i := range 4 {
		for _, polite := range []bool{true, false} {
			load.begun.Add(2)
			overGRPC := caller{name: fmt.Sprintf("gRPC %d polite %v", i, polite), polite: polite, sign: overGRPC(g.greeter(t))}
			overREST := caller{name: fmt.Sprintf("REST %d polite %v", i, polite), polite: polite, rest: true, sign: overREST(t, g.rest)}
			if polite {
				overGRPC.welcome = func() bool { return !isClosed(leaving) }
				overREST.welcome = func() bool { return strings.HasPrefix(g.page(t, "/readyz"), "200 ") }
			}
			clients.Go(func() { load.run(t, overGRPC) })
			clients.Go(func() { load.run(t, overREST) })
		}
	}
	load.begun.Wait() // every client has had answers, and the next call is on its way

	load.signal()
	g.terminate(t)
	clients.Wait()
	if load.late == 0 {
		t.Error("no call was answered after health went down: the server did not go on serving")
	}
	if err := drainStream(stream); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v, want a clean end", err)
	}
	g.ends(t, report.ExitOK)
	load.compare(t, g)

	// A second life, on the same files: the numbers go on.
	g = open(t, dir, roomy...)
	reply, err := g.greeter(t).SayHello(t.Context(), &hellopb.HelloRequest{Name: "latecomer"})
	if want := fmt.Sprintf("Hello latecomer, you are guest %d", len(load.acknowledged)+1); err != nil || reply.GetMessage() != want {
		t.Errorf("after a restart: %q, %v, want %q", reply.GetMessage(), err, want)
	}
	g.terminate(t)
	g.ends(t, report.ExitOK)
}

// probeEvery is how often health is asked for, which is much less than the settle.
const probeEvery = 10 * time.Millisecond

// warm is how many calls each client makes before the signal.
const warm = 20

// caller is a client that signs without a pause.
type caller struct {
	name    string
	polite  bool
	rest    bool
	welcome func() bool // what a polite client asks before each call
	sign    func(name string) (message string, err error)
}

func overGRPC(greeter hellopb.GreeterClient) func(name string) (string, error) {
	return func(name string) (string, error) {
		reply, err := greeter.SayHello(context.Background(), &hellopb.HelloRequest{Name: name})
		return reply.GetMessage(), err
	}
}

// overREST has connections of its own. It keeps those that are idle for less than the
// settle, so that none is left when the drain closes them: a request that HTTP/1.1 sends
// in that instant would be lost.
func overREST(t *testing.T, url string) func(name string) (string, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{IdleConnTimeout: settle / 4}}
	t.Cleanup(client.CloseIdleConnections)
	return func(name string) (string, error) {
		return signREST(context.Background(), client, url, name)
	}
}

// load is what the clients of one run have seen.
type load struct {
	leaving <-chan struct{} // closed when health says NOT_SERVING
	begun   sync.WaitGroup  // done when every client has had some answers

	mu           sync.Mutex
	signalled    time.Time         // right before SIGTERM was sent
	acknowledged map[uint64]string // guest by number
	late         int               // answers to calls that began after health had gone down
}

func (l *load) signal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.signalled = time.Now()
}

// run signs without a pause.
func (l *load) run(t *testing.T, c caller) {
	t.Helper()
	for i := 0; ; i++ {
		left := isClosed(l.leaving)
		if c.polite && !c.welcome() {
			return
		}
		name := fmt.Sprintf("%s call %d", c.name, i)
		message, err := c.sign(name)
		if err == nil {
			err = l.acknowledge(name, message, left)
		}
		if i == warm || err != nil && i < warm {
			l.begun.Done()
		}
		if err != nil {
			l.refused(t, name, c, err)
			return
		}
	}
}

func (l *load) acknowledge(name, message string, late bool) error {
	text, found := strings.CutPrefix(message, "Hello "+name+", you are guest ")
	var number uint64
	if _, err := fmt.Sscan(text, &number); !found || err != nil {
		return fmt.Errorf("answer %q", message)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if other, taken := l.acknowledged[number]; taken {
		return fmt.Errorf("guest %d is %q and %q", number, other, name)
	}
	l.acknowledged[number] = name
	if late {
		l.late++
	}
	return nil
}

// refused checks the one failure that a client may see: Unavailable, or over HTTP no
// answer at all, of a client that goes on calling when health is down, and only once
// the drain has begun. When that was is not known to the nanosecond here, but not
// before settle was over, which counts from after the signal.
func (l *load) refused(t *testing.T, name string, c caller, err error) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case c.polite:
		t.Errorf("%s failed although the server said that it was ready: %v", name, err)
	case !isClosed(l.leaving):
		t.Errorf("%s failed before health went down: %v", name, err)
	case !c.rest && status.Code(err) != codes.Unavailable:
		t.Errorf("%s failed with %v, want Unavailable", name, err)
	case c.rest && strings.HasPrefix(err.Error(), "status "):
		t.Errorf("%s failed with %v, want no connection", name, err)
	case time.Since(l.signalled) < settle:
		t.Errorf("%s failed %v after SIGTERM, before the drain: %v", name, time.Since(l.signalled), err)
	}
}

// compare checks that every guest who was acknowledged is in the guest book, and
// nobody else: a call that was refused had not reached its handler. Each got a mail
// and was thanked once or still waits for that, the events tell of all of it, and the
// guest book was closed last.
func (l *load) compare(t *testing.T, g *guestBook) {
	t.Helper()
	guests, unthanked := readBook(t, g.book)
	if len(guests) != len(l.acknowledged) {
		t.Errorf("%d guests in the book, %d were acknowledged", len(guests), len(l.acknowledged))
	}
	for number, name := range l.acknowledged {
		if guests[number] != name {
			t.Errorf("guest %d is %q in the book and %q was told so", number, guests[number], name)
		}
	}
	events := g.told(t)
	if last := events[len(events)-1]; last != "closed 0" {
		t.Errorf("the last event is %q, want %q", last, "closed 0")
	}
	count, counts := map[string]int{}, 0
	for _, event := range events {
		count[event]++
		if strings.HasPrefix(event, "counted ") {
			counts++
		}
	}
	if counts == 0 {
		t.Error("the guests were never counted: the scheduled job did not run")
	}
	thanked := 0
	for number := range guests {
		for _, what := range []string{"signed", "mailed"} {
			if n := count[fmt.Sprint(what, " ", number)]; n != 1 {
				t.Errorf("guest %d %s %d times", number, what, n)
			}
		}
		n := count[fmt.Sprintf("thanked %d", number)]
		if waits := unthanked[number]; n > 1 || (n == 1) == waits {
			t.Errorf("guest %d was thanked %d times, waits for it: %v", number, n, waits)
		}
		thanked += n
	}
	t.Logf("%d guests, %d thanked, %d wait; %d counts; %d calls answered after health went down", len(guests), thanked, len(unthanked), counts, l.late)
}

// probeHealth waits until health is SERVING, and returns a channel that is closed when
// it is no longer. It asks as a probe does, with Check, which is refused before the drain
// begins; a Watch is told when it begins.
func probeHealth(t *testing.T, conn *grpc.ClientConn) <-chan struct{} {
	t.Helper()
	client := healthpb.NewHealthClient(conn)
	status := func() (healthpb.HealthCheckResponse_ServingStatus, error) {
		reply, err := client.Check(context.Background(), &healthpb.HealthCheckRequest{Service: hellopb.Greeter_ServiceDesc.ServiceName})
		return reply.GetStatus(), err
	}
	if first, err := status(); err != nil || first != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("health is %v, %v, want SERVING", first, err)
	}
	leaving := make(chan struct{})
	go func() {
		defer close(leaving)
		next, err := status()
		for next == healthpb.HealthCheckResponse_SERVING && t.Context().Err() == nil {
			time.Sleep(probeEvery)
			next, err = status()
		}
		if t.Context().Err() == nil && (err != nil || next != healthpb.HealthCheckResponse_NOT_SERVING) {
			t.Errorf("health is %v, %v, want NOT_SERVING", next, err)
		}
	}()
	return leaving
}

// drainStream receives until the stream ends and returns its end.
func drainStream(stream grpc.ServerStreamingClient[echopb.EchoResponse]) error {
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
