//go:build unix

package examples_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	echopb "google.golang.org/grpc/examples/features/proto/echo"
	hellopb "google.golang.org/grpc/examples/helloworld/helloworld"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall/controller"
)

// settle is long enough for a health message to reach a client of a busy machine.
const settle = time.Second

// TestFull puts a guest book under load, sends it SIGTERM, and compares what the
// clients were told with what is on the disk afterwards.
func TestFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	book, journal := filepath.Join(dir, "guestbook.db"), filepath.Join(dir, "events.log")
	args := []string{"-settle=" + settle.String(), "-guestbook=" + book, "-events=" + journal}
	c, addr := start(t, "full", args...)

	// A stream that would never end by itself, and a client that watches health.
	stream, err := echopb.NewEchoClient(dial(t, addr)).ServerStreamingEcho(t.Context(), &echopb.EchoRequest{Message: "still here"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	leaving := watchHealth(t, dial(t, addr))

	// Polite clients stop when health says so, as a load balancer makes them do.
	// Stubborn ones go on until they are refused.
	load := &load{leaving: leaving, acknowledged: map[uint64]string{}}
	var clients sync.WaitGroup
	for i := range 4 {
		polite, stubborn := dial(t, addr), dial(t, addr)
		load.begun.Add(2)
		clients.Go(func() { load.run(t, polite, fmt.Sprintf("polite %d", i), true) })
		clients.Go(func() { load.run(t, stubborn, fmt.Sprintf("stubborn %d", i), false) })
	}
	load.begun.Wait() // every client has had an answer, and the next call is on its way

	load.signal()
	c.terminate(t)
	clients.Wait()
	if load.late == 0 {
		t.Error("no call was answered after health went down: the server did not go on serving")
	}
	if err := drainStream(stream); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v, want a clean end", err)
	}

	code, messages := c.exit(t)
	if code != controller.ExitOK {
		t.Errorf("exit code %d, want %d", code, controller.ExitOK)
	}
	if want := append([]string{"listening", "phase start", "phase serve"}, shutdown...); !slices.Equal(messages, want) {
		t.Errorf("log %q, want %q", messages, want)
	}
	if last := c.log[len(c.log)-1]; last.Outcome != controller.OutcomeDrained.String() {
		t.Errorf("summary %+v, want outcome drained", last)
	}
	load.compare(t, book, journal)

	// A second life, on the same files: the numbers go on.
	c, addr = start(t, "full", args...)
	reply, err := hellopb.NewGreeterClient(dial(t, addr)).SayHello(t.Context(), &hellopb.HelloRequest{Name: "latecomer"})
	if want := fmt.Sprintf("Hello latecomer, you are guest %d", len(load.acknowledged)+1); err != nil || reply.GetMessage() != want {
		t.Errorf("after a restart: %q, %v, want %q", reply.GetMessage(), err, want)
	}
	c.terminate(t)
	if code, _ := c.exit(t); code != controller.ExitOK {
		t.Errorf("exit code %d after a restart, want %d", code, controller.ExitOK)
	}
}

// TestFullCannotOpen: the second of two processes does not get the guest book. It
// says so, closes what it has opened, and exits.
func TestFullCannotOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	book := "-guestbook=" + filepath.Join(dir, "guestbook.db")
	start(t, "full", book, "-events="+filepath.Join(dir, "first.log"))
	second := launch(t, "full", book, "-events="+filepath.Join(dir, "second.log"))
	if e := second.await(t, "cannot start"); !strings.Contains(e.Error, bbolterrors.ErrTimeout.Error()) {
		t.Errorf("error %q, want one that says %q", e.Error, bbolterrors.ErrTimeout)
	}
	code, messages := second.exit(t)
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if slices.Contains(messages, "phase serve") || !slices.Contains(messages, "phase flush") {
		t.Errorf("log %q, want no phase serve, and phase flush", messages)
	}
}

// load is what the clients of one run have seen.
type load struct {
	leaving <-chan struct{} // closed when health says NOT_SERVING
	begun   sync.WaitGroup  // done when every client has had its first answer

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

// run calls SayHello without a pause.
func (l *load) run(t *testing.T, conn *grpc.ClientConn, client string, polite bool) {
	t.Helper()
	greeter := hellopb.NewGreeterClient(conn)
	for i := 0; ; i++ {
		left := isClosed(l.leaving)
		if left && polite {
			return
		}
		name := fmt.Sprintf("%s call %d", client, i)
		reply, err := greeter.SayHello(t.Context(), &hellopb.HelloRequest{Name: name})
		if err == nil {
			err = l.acknowledge(name, reply.GetMessage(), left)
		}
		if i == 0 {
			l.begun.Done()
		}
		if err != nil {
			l.refused(t, name, polite, err)
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

// refused checks the one failure that a client may see: Unavailable, of a client
// that goes on calling when health is down, and only once the drain has begun.
// When that was is not known to the nanosecond here, but not before settle was
// over, which counts from after the signal.
func (l *load) refused(t *testing.T, name string, polite bool, err error) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case polite:
		t.Errorf("%s failed although health was SERVING: %v", name, err)
	case !isClosed(l.leaving):
		t.Errorf("%s failed before health went down: %v", name, err)
	case status.Code(err) != codes.Unavailable:
		t.Errorf("%s failed with %v, want Unavailable", name, err)
	case time.Since(l.signalled) < settle:
		t.Errorf("%s failed %v after SIGTERM, before the drain: %v", name, time.Since(l.signalled), err)
	}
}

// compare checks that every guest who was acknowledged is in the guest book, and
// nobody else: a call that was refused had not reached its handler. Each was
// thanked once or still waits for it, the events tell of all of it, and the guest
// book was closed last.
func (l *load) compare(t *testing.T, book, journal string) {
	t.Helper()
	guests, unthanked := readBook(t, book)
	if len(guests) != len(l.acknowledged) {
		t.Errorf("%d guests in the book, %d were acknowledged", len(guests), len(l.acknowledged))
	}
	for number, name := range l.acknowledged {
		if guests[number] != name {
			t.Errorf("guest %d is %q in the book and %q was told so", number, guests[number], name)
		}
	}
	text, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	events := strings.Split(strings.TrimSpace(string(text)), "\n")
	if last := events[len(events)-1]; last != "closed 0" {
		t.Errorf("the last event is %q, want %q", last, "closed 0")
	}
	count := map[string]int{}
	for _, event := range events {
		count[event]++
	}
	thanked := 0
	for number := range guests {
		if n := count[fmt.Sprintf("signed %d", number)]; n != 1 {
			t.Errorf("guest %d signed %d times", number, n)
		}
		n := count[fmt.Sprintf("thanked %d", number)]
		if waits := unthanked[number]; n > 1 || (n == 1) == waits {
			t.Errorf("guest %d was thanked %d times, waits for it: %v", number, n, waits)
		}
		thanked += n
	}
	t.Logf("%d guests, %d thanked, %d wait; %d calls answered after health went down", len(guests), thanked, len(unthanked), l.late)
}

// readBook returns the guests by number, and who waits to be thanked.
func readBook(t *testing.T, path string) (guests map[uint64]string, unthanked map[uint64]bool) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // it was opened for reading
	guests, unthanked = map[uint64]string{}, map[uint64]bool{}
	err = db.View(func(tx *bbolt.Tx) error {
		return errors.Join(
			tx.Bucket([]byte("guests")).ForEach(func(k, v []byte) error { guests[binary.BigEndian.Uint64(k)] = string(v); return nil }),
			tx.Bucket([]byte("unthanked")).ForEach(func(k, _ []byte) error { unthanked[binary.BigEndian.Uint64(k)] = true; return nil }),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	return guests, unthanked
}

// watchHealth waits until health is SERVING, and returns a channel that is closed
// when it is no longer. The watch ends then, so that it does not hold the drain.
func watchHealth(t *testing.T, conn *grpc.ClientConn) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	watch, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{Service: hellopb.Greeter_ServiceDesc.ServiceName})
	if err != nil {
		t.Fatal(err)
	}
	first, err := watch.Recv()
	if err != nil || first.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("health is %v, %v, want SERVING", first.GetStatus(), err)
	}
	leaving := make(chan struct{})
	go func() {
		defer close(leaving)
		defer cancel()
		next, err := watch.Recv()
		if err != nil || next.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
			t.Errorf("health is %v, %v, want NOT_SERVING", next.GetStatus(), err)
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
