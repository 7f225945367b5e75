//go:build linux

package systemd_test

import (
	"context"
	"net/http"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/internal/busy"
)

// handshakeTime is how long httpadapter waits for the first request of a connection in the drain.
const handshakeTime = time.Second

// TestRestartLosesNothing: as "systemctl restart" does it, the old process ends before the
// new one begins; what comes in between waits in the socket's queue. And the other way
// round: the two share the socket for a while. Clients with fresh connections and with kept
// ones lose no request.
func TestRestartLosesNothing(t *testing.T) {
	t.Parallel()
	lis, addr := socket(t, "tcp", "127.0.0.1:0", true)
	start := func() *exec.Cmd {
		cmd := passes(t, []string{"LISTEN_FDS=1", "LISTEN_FDNAMES=http"}, lis)
		run(t, cmd)
		return cmd
	}
	cmd := start()
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var answered atomic.Int64
	var pids sync.Map
	machine := busy.Watch(t.Context().Done())
	for i := range 8 {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		clients.Go(func() {
			for ctx.Err() == nil {
				pid, err := get(t.Context(), client, "http://"+addr)
				if _, stopped := machine.Late(); err != nil && stopped < handshakeTime/2 { // both ends stop, and the server's timer may be first
					t.Errorf("a request was lost, fresh connections %v: %v", i%2 == 0, err)
				}
				pids.Store(pid, true)
				answered.Add(1)
			}
			client.CloseIdleConnections()
		})
	}
	for range 3 {
		before := answered.Load()
		sigterm(t, cmd)
		cmd = start()
		next := start()
		sigterm(t, cmd)
		cmd = next
		for answered.Load() < before+100 && !t.Failed() {
			time.Sleep(time.Millisecond)
		}
	}
	cancel()
	clients.Wait()
	sigterm(t, cmd)
	processes := 0
	pids.Range(func(any, any) bool { processes++; return true })
	t.Logf("%d requests, answered by %d processes", answered.Load(), processes)
	if processes < 4 {
		t.Errorf("only %d processes have answered", processes)
	}
}
