//go:build unix

package examples_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	hellopb "google.golang.org/grpc/examples/helloworld/helloworld"
)

// TestRestart: a server is restarted in place again and again, by a parent that keeps its
// socket, while clients call on connections that they keep and on fresh ones. No call fails. A new
// version that ends at once, or hangs, changes nothing: the old one serves on.
func TestRestart(t *testing.T) {
	t.Parallel()
	server := filepath.Join(t.TempDir(), "server")
	install := func(what string) { // a new version is put in place as a whole
		if err := os.Rename(what, server); err != nil {
			t.Fatal(err)
		}
	}
	// copied is a copy that no process has had open for writing but cp: a child that another
	// test is about to begin would have it open as well, and exec would fail with ETXTBSY.
	copied := func(file string) string {
		to := filepath.Join(t.TempDir(), "copy")
		if out, err := exec.CommandContext(t.Context(), "cp", file, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return to
	}
	script := func(text string) string {
		file := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return copied(file)
	}
	whole := func() string { return copied(filepath.Join(binaries, "activated")) }
	install(whole())
	r := run(t, exec.CommandContext(t.Context(), filepath.Join(binaries, "restart"),
		"-listen", "grpc=127.0.0.1:0", "-ready", "5s", server, "-budget", "total=10s,settle=300ms,reserve=1s"))
	addr := r.await(t, "listening").Addr
	current := r.await(t, "ready").Pid
	t.Cleanup(func() { _ = syscall.Kill(current, syscall.SIGKILL) }) // if the test has failed

	ctx, end := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	var calls atomic.Int64
	kept := dial(t, addr)
	for i := range 8 {
		callers.Go(func() {
			for ctx.Err() == nil {
				conn := kept
				if fresh := i%2 == 0; fresh {
					var err error
					if conn, err = grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
						t.Error(err)
						return
					}
				}
				if _, err := hellopb.NewGreeterClient(conn).SayHello(t.Context(), &hellopb.HelloRequest{Name: "a"}); err != nil {
					t.Errorf("on a fresh connection %v: %v", i%2 == 0, err)
				}
				if conn != kept {
					_ = conn.Close()
				}
				calls.Add(1)
			}
		})
	}
	more := func() {
		for before, late := calls.Load(), time.Now().Add(patience); calls.Load() < before+50; time.Sleep(time.Millisecond) {
			if time.Now().After(late) {
				t.Fatal("nothing is served")
			}
		}
	}
	for range 4 {
		hangUp(t, r)
		next := r.await(t, "ready").Pid
		if ended := r.await(t, "ended"); ended.Pid != current || ended.Code != 0 || next == current {
			t.Errorf("%d ended with %d, want %d with 0; the next one is %d", ended.Pid, ended.Code, current, next)
		}
		current = next
		more()
	}
	for _, broken := range []string{"exit 7", "exec sleep 600"} {
		install(script(broken))
		hangUp(t, r)
		if e := r.await(t, "the new server did not start, the old one serves on"); e.Pid != current {
			t.Errorf("%q: %+v, want pid %d", broken, e, current)
		}
		more()
		if answer, err := hellopb.NewGreeterClient(kept).SayHello(t.Context(), &hellopb.HelloRequest{Name: "a"}); err != nil || answer.GetMessage() != fmt.Sprintf("Hello a from %d", current) {
			t.Errorf("%q: %v, %v, want it from %d", broken, answer, err, current)
		}
	}
	install(whole())
	hangUp(t, r)
	next := r.await(t, "ready").Pid
	r.await(t, "ended")
	current = next
	end()
	callers.Wait()
	t.Logf("%d calls, 5 restarts", calls.Load())
	r.terminate(t)
	if code, _ := r.exit(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestRestartThenEnd: SIGTERM comes while the old server still drains, and the parent ends after
// both. In a container what outlives it is killed.
func TestRestartThenEnd(t *testing.T) {
	t.Parallel()
	r := run(t, exec.CommandContext(t.Context(), filepath.Join(binaries, "restart"),
		"-listen", "grpc=127.0.0.1:0", filepath.Join(binaries, "activated"), "-budget", "total=10s,settle=100ms,reserve=1s"))
	addr := r.await(t, "listening").Addr
	old := r.await(t, "ready").Pid
	silent, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()                                    // it holds the drain for a second
	if _, err := silent.Read(make([]byte, 1)); err != nil { // the old server has accepted it
		t.Fatal(err)
	}
	hangUp(t, r)
	r.await(t, "ready")
	r.terminate(t)
	code, _ := r.exit(t)
	if ended := func(e entry) bool { return e.Message == "ended" && e.Pid == old }; code != 0 || !slices.ContainsFunc(r.log, ended) {
		t.Errorf("exit code %d; the parent has not seen the end of %d", code, old)
	}
}

func hangUp(t *testing.T, r *child) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}
