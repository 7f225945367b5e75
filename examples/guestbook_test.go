//go:build unix

package examples_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"google.golang.org/grpc"
	echopb "google.golang.org/grpc/examples/features/proto/echo"
	hellopb "google.golang.org/grpc/examples/helloworld/helloworld"

	"github.com/lastcall-go/lastcall/report"
)

// settle is long enough for a health message to reach a client, and for a call to come,
// on a busy machine.
const settle = 2 * time.Second

// The flags for it: one leaves the drain 6 s; the other is Total 4 s, Settle and Reserve
// 1 s, so that what hangs does not take long.
var (
	roomy = []string{"-grace=15s", "-prestop=3s"}
	tight = []string{"-grace=10s", "-prestop=4s"}
)

// guestBook is a process of the example full, and its files.
type guestBook struct {
	*child
	addr, rest, admin    string
	book, events, traces string
}

// files returns the files of a guest book in the folder, and the flags for it.
func files(dir string) (g *guestBook, flags []string) {
	in := func(name string) string { return filepath.Join(dir, name) }
	g = &guestBook{book: in("guestbook.db"), events: in("events.log"), traces: in("traces.json")}
	return g, []string{"-rest=127.0.0.1:0", "-admin=127.0.0.1:0", "-guestbook=" + g.book, "-events=" + g.events, "-traces=" + g.traces}
}

// open starts a guest book in the folder and waits until it is ready.
func open(t *testing.T, dir string, args ...string) *guestBook {
	t.Helper()
	g := begin(t, dir, args...)
	e := g.await(t, "listening")
	g.addr, g.rest, g.admin = e.Addr, "http://"+e.Rest, "http://"+e.Admin
	g.await(t, "phase serve")
	return g
}

// begin starts a guest book in the folder and does not wait.
func begin(t *testing.T, dir string, args ...string) *guestBook {
	t.Helper()
	g, flags := files(dir)
	g.child = launch(t, "full", append(flags, args...)...)
	return g
}

// whole is the log of a guest book that comes and goes.
func whole() []string {
	return append([]string{"opening the guest book", "listening", "phase start", "phase serve"}, shutdown...)
}

// ends waits for the end of the process and checks its code and, of one that has
// drained, its log. It returns how long after the signal that was.
func (g *guestBook) ends(t *testing.T, code int) time.Duration {
	t.Helper()
	got, messages := g.exit(t)
	took := time.Since(g.signalled)
	if got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	if code == report.ExitOK {
		if want := whole(); !slices.Equal(messages, want) {
			t.Errorf("log %q, want %q", messages, want)
		}
		if last := g.last(); last.Outcome != report.OutcomeDrained.String() || last.Forced || last.Code != code {
			t.Errorf("summary %+v, want outcome drained, not forced", last)
		}
	}
	return took
}

// told returns the events in the file.
func (g *guestBook) told(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(g.events)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func (g *guestBook) greeter(t *testing.T) hellopb.GreeterClient {
	t.Helper()
	return hellopb.NewGreeterClient(dial(t, g.addr))
}

// upload opens a stream that the server waits for, until the client is done.
func (g *guestBook) upload(t *testing.T) grpc.ClientStreamingClient[echopb.EchoRequest, echopb.EchoResponse] {
	t.Helper()
	client := echopb.NewEchoClient(dial(t, g.addr))
	if _, err := client.UnaryEcho(t.Context(), &echopb.EchoRequest{}); err != nil { // connected
		t.Fatal(err)
	}
	stream, err := client.ClientStreamingEcho(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&echopb.EchoRequest{Message: "first"}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil { // the handler runs
		t.Fatal(err)
	}
	return stream
}

// page returns what the admin server answers, with its status in front.
func (g *guestBook) page(t *testing.T, path string) string {
	t.Helper()
	code, body, err := get(t.Context(), http.DefaultClient, g.admin+path)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return fmt.Sprint(code, " ", body)
}

func get(ctx context.Context, client *http.Client, url string) (code int, body string, err error) {
	return do(ctx, client, http.MethodGet, url, "", "")
}

func do(ctx context.Context, client *http.Client, method, url, authorization, body string) (code int, answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	response, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// signREST signs through the REST server, and returns the answer's message.
func signREST(ctx context.Context, client *http.Client, rest, name string) (string, error) {
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return "", err
	}
	code, text, err := do(ctx, client, http.MethodPost, rest+"/guests", "", string(body))
	if err != nil {
		return "", err
	}
	if code != http.StatusCreated {
		return "", fmt.Errorf("status %d: %s", code, text)
	}
	var answer struct{ Message string }
	err = json.Unmarshal([]byte(text), &answer)
	return answer.Message, err
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
