//go:build unix

package examples_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// nginxConf balances two servers; the parameters are those of each.
const nginxConf = `daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/1; proxy_temp_path %[1]s/2; fastcgi_temp_path %[1]s/3; uwsgi_temp_path %[1]s/4; scgi_temp_path %[1]s/5;
	upstream servers { server %[2]s %[4]s; server %[3]s %[4]s; }
	server { listen unix:%[1]s/front; location / { proxy_pass http://servers; } }
}`

// TestNginx: what docs/kubernetes.md says of nginx. By default a server that refused one
// connection is out for 10 s, and then until one trial request has ended, so two servers that
// restart shortly after one another leave none. With max_fails=0 no request is lost.
func TestNginx(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx = "/opt/root/usr/sbin/nginx" // where a machine may have unpacked Debian's package
	}
	if _, err := os.Stat(nginx); err != nil {
		t.Skip("there is no nginx")
	}
	for parameters, safe := range map[string]bool{"": false, "fail_timeout=2s": false, "max_fails=0": true} {
		t.Run(cmp.Or(parameters, "default"), func(t *testing.T) {
			t.Parallel()
			var a, b upstream
			a.start(t)
			b.start(t)
			dir, err := os.MkdirTemp("", "nginx-") //nolint:usetesting // its path has to be short, and open to nginx's workers
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			conf := filepath.Join(dir, "conf")
			if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, a.addr, b.addr, parameters), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), nginx, "-c", conf, "-e", filepath.Join(dir, "error.log"))
			cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH=/opt/root/usr/lib/x86_64-linux-gnu")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Wait() }) // it is killed when the test ends
			front := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: overUnix(filepath.Join(dir, "front"))}}
			ask := func(path string) (ok bool) {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://front"+path, http.NoBody)
				if err != nil {
					t.Error(err)
					return false
				}
				response, err := front.Do(r)
				if err != nil {
					return false
				}
				defer response.Body.Close()
				_, err = io.Copy(io.Discard, response.Body)
				return err == nil && response.StatusCode == http.StatusOK
			}
			for deadline := time.Now().Add(patience); !ask("/"); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("nginx does not serve")
				}
			}
			asks := func(d time.Duration) (asked, lost int) {
				for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
					asked++
					if !ask("/") {
						lost++
					}
				}
				return asked, lost
			}
			verdict := func(what string, asked, lost int) {
				t.Logf("%s: %d of %d lost", what, lost, asked)
				if (lost == 0) != safe {
					t.Errorf("%s: %d of %d lost", what, lost, asked)
				}
			}
			const longer = 3100 * time.Millisecond // than the shorter fail_timeout, in nginx's whole seconds
			var asked, lost int
			a.restart(t, func() { asks(100 * time.Millisecond) }) // which nginx notices
			if parameters == "fail_timeout=2s" {
				time.Sleep(longer)
			} else {
				b.restart(t, func() { asked, lost = asks(time.Second) })
				verdict("one restarts when the other is back", asked, lost)
			}
			if parameters != "" { // which takes longer
				a.slow.Store(0)
				for i := 0; i < 8 && a.slow.Load() == 0; i++ { // the trial
					go ask("/slow")
					time.Sleep(20 * time.Millisecond)
				}
				b.restart(t, func() { asked, lost = asks(time.Second) })
				verdict("one restarts while the trial request of the other runs", asked, lost)
			}
		})
	}
}

// upstream is a server behind nginx.
type upstream struct {
	addr string
	slow atomic.Int64
	srv  *http.Server
}

func (u *upstream) start(t *testing.T) {
	t.Helper()
	addr := "127.0.0.1:0"
	if u.addr != "" {
		addr = u.addr // it comes back where it was
	}
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	u.addr = lis.Addr().String()
	u.srv = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			u.slow.Add(1)
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		}
		_, _ = fmt.Fprint(w, "ok")
	})}
	srv := u.srv
	go srv.Serve(lis) //nolint:errcheck // ErrServerClosed
	t.Cleanup(func() { _ = srv.Close() })
}

// restart closes the server, and opens it again when the function has returned.
func (u *upstream) restart(t *testing.T, down func()) {
	t.Helper()
	_ = u.srv.Close() // of the listener
	down()
	u.start(t)
}

// overUnix dials a Unix socket, whatever the address.
func overUnix(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
}
