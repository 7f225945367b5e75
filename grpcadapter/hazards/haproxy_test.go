package hazards_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/lastcall-go/lastcall/report"
)

// haproxyPath returns where HAProxy is, or "".
func haproxyPath() (path string, env []string) {
	if path, err := exec.LookPath("haproxy"); err == nil {
		return path, nil
	}
	const unpacked = "/opt/root/usr"
	if _, err := os.Stat(unpacked + "/sbin/haproxy"); err == nil {
		return unpacked + "/sbin/haproxy", []string{"LD_LIBRARY_PATH=" + unpacked + "/lib/x86_64-linux-gnu:" + unpacked + "/lib"}
	}
	return "", nil
}

// startHAProxy starts a proxy that speaks HTTP/2 on both sides, and returns its target for
// grpc-go. The backend is what stands in its section.
func startHAProxy(t *testing.T, backend string) string {
	t.Helper()
	path, env := haproxyPath()
	if path == "" {
		t.Skip("no haproxy: apt-get install haproxy")
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	file, err := lis.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	config := filepath.Join(t.TempDir(), "haproxy.cfg")
	text := `defaults
  mode http
  timeout connect 1s
  timeout client 1m
  timeout server 1m
frontend grpc
  bind fd@3 proto h2
  default_backend servers
backend servers
` + backend
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd := exec.CommandContext(context.Background(), path, "-db", "-f", config)
	cmd.Env, cmd.ExtraFiles = append(os.Environ(), env...), []*os.File{file}
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	return "passthrough:///" + lis.Addr().String()
}

// HAProxy leaves it to the server to close a connection after its last GOAWAY, for which
// grpc waits a second. The adapter closes it when it has been silent for 50 ms.
func TestHAProxyIsLetGo(t *testing.T) {
	once := func(t *testing.T, n *network) {
		t.Helper()
		conn, err := grpc.NewClient(startHAProxy(t, "  server only "+n.Addr().String()+" proto h2\n"), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := call(conn)(); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("grpc", func(t *testing.T) {
		n := tcp(t)
		srv := bare(t, n, fnService{})
		once(t, n)
		begun := time.Now()
		srv.GracefulStop()
		if took := time.Since(begun); took < 900*time.Millisecond {
			t.Errorf("GracefulStop took %v: the adapter need do nothing any more", took)
		}
	})
	t.Run("lastcall", func(t *testing.T) {
		quickest := time.Hour
		for tries := 0; tries < 5 && quickest > 600*time.Millisecond; tries++ { // a busy machine delays HAProxy, too
			n := tcp(t)
			l := begin(t, n, setup{})
			once(t, n)
			r := l.shutdown(t)
			t.Logf("the drain took %v", r.Took())
			if r.Outcome != report.OutcomeDrained || r.ExitCode() != report.ExitOK {
				t.Errorf("exit code %d\n%v", r.ExitCode(), r)
			}
			quickest = min(quickest, r.Took())
		}
		if quickest > 600*time.Millisecond {
			t.Errorf("the quickest of five drains took %v", quickest)
		}
	})
}
