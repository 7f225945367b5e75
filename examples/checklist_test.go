//go:build unix

package examples_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	echopb "google.golang.org/grpc/examples/features/proto/echo"
	hellopb "google.golang.org/grpc/examples/helloworld/helloworld"
	"google.golang.org/grpc/status"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
)

// The production checklist for a shutdown: each item in a process, with real
// connections and real signals. README.md has the list.

// sigkill is when kubelet kills a process with this Total.
func sigkill(total time.Duration) time.Duration { return total + 2*time.Second }

// TestChecklist_BinaryReceivesSIGTERM: the process itself gets the signal, and its
// code says how it went. TestChecklist_BinaryReceivesSIGTERM_AsPID1 is the same in a
// container, as it were.
func TestChecklist_BinaryReceivesSIGTERM(t *testing.T) {
	t.Parallel()
	g := open(t, t.TempDir(), roomy...)
	g.terminate(t)
	if e := g.await(t, "shutting down"); !strings.Contains(e.Cause, "terminated") {
		t.Errorf("cause %q, want the signal", e.Cause)
	}
	g.ends(t, report.ExitOK)
}

// TestChecklist_ReadinessFlipsBeforeDrain: readiness over HTTP and health over gRPC
// go down while calls are still served, and liveness stays up to the end.
func TestChecklist_ReadinessFlipsBeforeDrain(t *testing.T) {
	t.Parallel()
	g := open(t, t.TempDir(), roomy...)
	leaving := probeHealth(t, dial(t, g.addr))
	greeter, upload := g.greeter(t), g.upload(t)
	if ready := g.page(t, "/readyz"); !strings.HasPrefix(ready, "200 ") {
		t.Errorf("readiness %s, want 200", ready)
	}
	g.terminate(t)
	<-leaving // bounded by the process, which is killed in the end
	ready := g.page(t, "/readyz")
	if !strings.HasPrefix(ready, "503 ") || !strings.Contains(ready, `"phase":"settle"`) && !strings.Contains(ready, `"phase":"announce"`) {
		t.Errorf("readiness %s, want 503 in phase announce or settle", ready)
	}
	if _, err := greeter.SayHello(t.Context(), &hellopb.HelloRequest{Name: "late"}); err != nil {
		t.Errorf("a call after readiness went down: %v", err)
	}
	g.await(t, "phase drain") // which lasts until the upload is over
	if ready, live := g.page(t, "/readyz"), g.page(t, "/livez"); !strings.HasPrefix(ready, "503 ") || !strings.HasPrefix(live, "200 ") {
		t.Errorf("in the drain: readiness %s, liveness %s, want 503 and 200", ready, live)
	}
	if _, err := upload.CloseAndRecv(); err != nil {
		t.Error(err)
	}
	if code, _ := g.exit(t); code != report.ExitOK {
		t.Errorf("exit code %d", code)
	}
}

// TestChecklist_SettleCoversPropagation: clients that have not heard yet open new
// connections while the server settles, and are served.
func TestChecklist_SettleCoversPropagation(t *testing.T) {
	t.Parallel()
	g := open(t, t.TempDir(), roomy...)
	g.terminate(t)
	g.await(t, "phase settle")
	arrived := 0
	for ; time.Since(g.signalled) < settle/2; arrived++ {
		if _, err := overGRPC(g.greeter(t))("over gRPC"); err != nil {
			t.Fatalf("call %d: %v", arrived, err)
		}
		if _, err := overREST(t, g.rest)("over REST"); err != nil {
			t.Fatalf("request %d: %v", arrived, err)
		}
	}
	if arrived == 0 {
		t.Error("the machine is too slow: no call was made in the settle")
	}
	g.ends(t, report.ExitOK)
}

// TestChecklist_HardBound: a GracefulStop that does not return, because a client does
// not finish its stream or a handler does not look at its context, ends by the
// deadline; and the code says which.
func TestChecklist_HardBound(t *testing.T) {
	t.Parallel()
	const total = 3 * time.Second
	t.Run("stream", func(t *testing.T) {
		t.Parallel()
		g := open(t, t.TempDir(), tight...)
		upload := g.upload(t)
		g.terminate(t)
		took := g.ends(t, report.ExitInterrupted)
		if took < total-time.Second || took >= sigkill(total) { // the timer is a second before the deadline
			t.Errorf("the process ended after %v, want between the timer and %v", took, total)
		}
		if _, err := upload.CloseAndRecv(); status.Code(err) != codes.Unavailable {
			t.Errorf("the stream ended with %v, want Unavailable", err)
		}
	})
	t.Run("handler", func(t *testing.T) {
		t.Parallel()
		g := open(t, t.TempDir(), append(tight, "-work=1h")...)
		conn := dial(t, g.addr)
		if _, err := echopb.NewEchoClient(conn).UnaryEcho(t.Context(), &echopb.EchoRequest{}); err != nil { // connected
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := hellopb.NewGreeterClient(conn).SayHello(t.Context(), &hellopb.HelloRequest{Name: "for ever"})
			ended <- err
		}() // it has a whole settle to get there
		g.terminate(t)
		if took := g.ends(t, report.ExitAbandoned); took < total-time.Second || took >= sigkill(total) {
			t.Errorf("the process ended after %v, want between the timer and %v", took, total)
		}
		if err := <-ended; status.Code(err) != codes.Unavailable {
			t.Errorf("the call ended with %v, want Unavailable", err)
		}
	})
}

// TestChecklist_StreamsHaveAStrategy: one stream ends itself when the drain begins, one
// is ended between two messages, and one is waited for.
func TestChecklist_StreamsHaveAStrategy(t *testing.T) {
	t.Parallel()
	g := open(t, t.TempDir(), roomy...)
	client := echopb.NewEchoClient(dial(t, g.addr))
	ticker, err := client.ServerStreamingEcho(t.Context(), &echopb.EchoRequest{Message: "tick"})
	if err != nil {
		t.Fatal(err)
	}
	chat, err := client.BidirectionalStreamingEcho(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := chat.Send(&echopb.EchoRequest{Message: "hello"}); err != nil {
		t.Fatal(err)
	}
	if _, err := chat.Recv(); err != nil {
		t.Fatal(err)
	}
	upload := g.upload(t)
	g.terminate(t)
	if err := drainStream(ticker); !errors.Is(err, io.EOF) {
		t.Errorf("the ticker ended with %v, want a clean end", err)
	}
	if _, err := chat.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the chat ended with %v, want Unavailable", err)
	}
	g.await(t, "phase drain")
	if err := upload.Send(&echopb.EchoRequest{Message: "last"}); err != nil {
		t.Error(err)
	}
	if reply, err := upload.CloseAndRecv(); err != nil || reply.GetMessage() != "last" {
		t.Errorf("the upload ended with %v, %v", reply, err)
	}
	g.ends(t, report.ExitOK)
}

// TestChecklist_ConsumersStopOnCancellation: the worker claims nobody who signs after
// it was told; the next process does.
func TestChecklist_ConsumersStopOnCancellation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	g := open(t, dir, roomy...)
	g.terminate(t)
	g.await(t, "phase settle")
	if _, err := overGRPC(g.greeter(t))("nobody thanks me"); err != nil {
		t.Fatal(err)
	}
	g.ends(t, report.ExitOK)
	if _, unthanked := readBook(t, g.book); !unthanked[1] {
		t.Errorf("unthanked %v, want guest 1: the worker has claimed in phase settle; events %q", unthanked, g.told(t))
	}

	g = open(t, dir, roomy...)
	for began := time.Now(); !strings.Contains(g.page(t, "/metrics"), "\nunthanked 0\n"); { // a page takes some milliseconds
		if time.Since(began) > patience {
			t.Fatal("nobody is thanked in a second life")
		}
	}
}

// TestChecklist_DependenciesCloseLast: a request takes longer than the settle, writes
// to the database at its end, and leaves a mail behind; the database closes after both.
func TestChecklist_DependenciesCloseLast(t *testing.T) {
	t.Parallel()
	g := open(t, t.TempDir(), append(roomy, "-work=2500ms")...) // longer than the settle, and the drain takes 6 s
	g.terminate(t)
	g.await(t, "phase settle")
	if message, err := overREST(t, g.rest)("slow"); err != nil || !strings.Contains(message, "guest 1") {
		t.Errorf("%q, %v", message, err)
	}
	if took := time.Since(g.signalled); took < settle {
		t.Errorf("the request ended %v after the signal, in the settle", took)
	}
	g.ends(t, report.ExitOK)
	if events, want := g.told(t), []string{"signed 1", "mailed 1", "closed 0"}; !slices.Equal(events, want) {
		t.Errorf("events %q, want %q", events, want)
	}
}

// TestChecklist_InFlightIsVisible: the admin port and the log tell during the drain
// what it waits for.
func TestChecklist_InFlightIsVisible(t *testing.T) {
	t.Parallel()
	g := open(t, t.TempDir(), roomy...)
	upload := g.upload(t)
	g.terminate(t)
	e := g.await(t, "in flight") // comes with the beginning of the drain
	if e.Server != "grpc" || e.Streams != 1 {
		t.Errorf("the log says %+v, want one stream", e)
	}
	want := fmt.Sprintf("lastcall_work_in_flight{method=%q,server=%q,type=%q} 1", echopb.Echo_ClientStreamingEcho_FullMethodName, "grpc", lastcall.WorkClientStream)
	if page := g.page(t, "/metrics"); !strings.Contains(page, want) {
		t.Errorf("the page says %s, want %s", page, want)
	}
	if _, err := upload.CloseAndRecv(); err != nil {
		t.Error(err)
	}
	g.ends(t, report.ExitOK)
}

// TestChecklist_LogsAndTracesFlush: what is in memory when the signal comes is on the
// disk when the process has ended.
func TestChecklist_LogsAndTracesFlush(t *testing.T) {
	t.Parallel()
	g := open(t, t.TempDir(), roomy...)
	sign := overGRPC(g.greeter(t))
	const guests = 5
	for range guests {
		if _, err := sign("gopher"); err != nil {
			t.Fatal(err)
		}
	}
	if events := g.told(t); !slices.Equal(events, []string{""}) {
		t.Errorf("events %q are on the disk already: the test shows nothing", events)
	}
	g.terminate(t)
	g.ends(t, report.ExitOK)
	events := g.told(t)
	for guest := 1; guest <= guests; guest++ {
		if signed := fmt.Sprint("signed ", guest); !slices.Contains(events, signed) {
			t.Errorf("events %q, %q is missing", events, signed)
		}
	}
	file, err := os.Open(g.traces)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	spans := map[string]int{}
	for decoder := json.NewDecoder(file); ; {
		var span struct{ Name string }
		if err := decoder.Decode(&span); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		spans[span.Name]++
	}
	if spans["open the guest book"] != 1 || spans["shutdown"] != 1 || spans["phase drain"] != 1 || spans["SayHello"] != guests {
		t.Errorf("spans %v, want one of the start, of the shutdown and of its drain, and %d of SayHello", spans, guests)
	}
}

// TestChecklist_NoGoroutineLeaks: after gRPC, REST, streams, workers and mails the
// process ends with its main goroutine and that of package os/signal.
func TestChecklist_NoGoroutineLeaks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	profile := dir + "/goroutines.txt"
	g := open(t, dir, append(roomy, "-goroutines="+profile)...)
	var clients sync.WaitGroup
	for range 10 {
		overGRPC, overREST := overGRPC(g.greeter(t)), overREST(t, g.rest)
		clients.Go(func() {
			for range 10 {
				if _, err := overGRPC("gopher"); err != nil {
					t.Error(err)
				}
				if _, err := overREST("gopher"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
	ticker, err := echopb.NewEchoClient(dial(t, g.addr)).ServerStreamingEcho(t.Context(), &echopb.EchoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	g.page(t, "/metrics")
	g.terminate(t)
	if err := drainStream(ticker); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
	g.ends(t, report.ExitOK)
	text, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	for stack := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		if header, _, _ := strings.Cut(stack, "\n"); strings.Contains(header, "[runnable") {
			continue // nothing holds it: it waits for a processor, to come to its end
		}
		if !strings.Contains(stack, "\nmain.main()") && !strings.Contains(stack, "\nos/signal.loop()") {
			t.Errorf("a goroutine is left:\n%s", stack)
		}
	}
}
