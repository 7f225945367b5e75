//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// What is put in front of two servers. FRONT, A, B and DIR are replaced; what stands between
// the marks of a protocol goes for the other one.
const (
	haproxyConfig = `defaults
  mode http
  timeout connect 2s
  timeout client 20s
  timeout server 20s
  retries 3
  option redispatch 1
frontend f
  bind FRONT <grpc>proto h2</grpc>
  default_backend b
backend b
  balance roundrobin
  server a A <grpc>proto h2</grpc> check inter 300ms fall 2
  server b B <grpc>proto h2</grpc> check inter 300ms fall 2
`
	nginxConfig = `daemon off; master_process off; pid DIR/pid; error_log DIR/error;
events {}
http {
  access_log off;
  client_body_temp_path DIR/1; proxy_temp_path DIR/2; fastcgi_temp_path DIR/3; uwsgi_temp_path DIR/4; scgi_temp_path DIR/5;
  upstream servers { server A max_fails=0; server B max_fails=0; keepalive 16; }
  server {
    listen FRONT <grpc>http2</grpc>; keepalive_requests 1000000;
    location / {
      <grpc>grpc_pass grpc://servers;</grpc>
      <http>proxy_pass http://servers; proxy_http_version 1.1; proxy_set_header Connection "";</http>
    }
  }
}
`
	caddyConfig = `{
  admin off
  auto_https off
  servers {
    protocols h1 h2c
  }
}
http://FRONT {
  reverse_proxy <grpc>h2c://</grpc>A <grpc>h2c://</grpc>B {
    lb_policy round_robin
  }
}
`
)

// proxy starts a proxy in front of two servers, and returns its address and what ends it.
func proxy(ctx context.Context, name, proto, a, b string) (front string, end func(), err error) {
	dir, err := os.MkdirTemp("", "foreign-")
	if err != nil {
		return "", nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // nginx's workers may be another user's
		return "", nil, err
	}
	free, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	front = free.Addr().String()
	_ = free.Close()
	file := filepath.Join(dir, "config")
	var text string
	var args []string
	switch name {
	case "haproxy":
		text, args = haproxyConfig, []string{"-db", "-f", file}
	case "nginx":
		text, args = nginxConfig, []string{"-c", file, "-p", dir, "-e", filepath.Join(dir, "error")}
	case "caddy":
		text, args = caddyConfig, []string{"run", "--config", file, "--adapter", "caddyfile"}
	default:
		return "", nil, fmt.Errorf("there is no proxy %q", name)
	}
	for _, p := range []string{"grpc", "http"} {
		for {
			before, rest, found := strings.Cut(text, "<"+p+">")
			if !found {
				break
			}
			inside, after, _ := strings.Cut(rest, "</"+p+">")
			if p != proto {
				inside = ""
			}
			text = before + inside + after
		}
	}
	text = strings.NewReplacer("FRONT", front, "DIR", dir, " A ", " "+a+" ", " B ", " "+b+" ", "//A ", "//"+a+" ", "//B ", "//"+b+" ").Replace(text)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", nil, err
	}
	path, env, err := look(name)
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(env, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, time.Second
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	end = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}
	for range 100 {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", front)
		if err == nil {
			return front, end, conn.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	end()
	return "", nil, errors.New(name + " does not listen: " + out.String())
}
