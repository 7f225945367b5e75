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
	"text/template"
	"time"
)

// What is put in front of two servers.
const (
	haproxyConfig = `defaults
  mode http
  timeout connect 2s
  timeout client 20s
  timeout server 20s
  retries 3
  option redispatch 1
frontend f
  bind {{.front}} {{if .grpc}}proto h2{{end}}
  default_backend b
backend b
  balance roundrobin
  server a {{.a}} {{if .grpc}}proto h2{{end}} check inter 300ms fall 2
  server b {{.b}} {{if .grpc}}proto h2{{end}} check inter 300ms fall 2
`
	nginxConfig = `daemon off; master_process off; pid {{.dir}}/pid; error_log {{.dir}}/error;
events {}
http {
  access_log off;
  client_body_temp_path {{.dir}}/1; proxy_temp_path {{.dir}}/2; fastcgi_temp_path {{.dir}}/3; uwsgi_temp_path {{.dir}}/4; scgi_temp_path {{.dir}}/5;
  upstream servers { server {{.a}} max_fails=0; server {{.b}} max_fails=0; keepalive 16; }
  server {
    listen {{.front}} {{if .grpc}}http2{{end}}; keepalive_requests 1000000;
    location / {
      {{if .grpc}}grpc_pass grpc://servers;{{else}}proxy_pass http://servers; proxy_http_version 1.1; proxy_set_header Connection "";{{end}}
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
http://{{.front}} {
  reverse_proxy {{if .grpc}}h2c://{{end}}{{.a}} {{if .grpc}}h2c://{{end}}{{.b}} {
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
	var config strings.Builder
	data := map[string]any{"front": front, "a": a, "b": b, "dir": dir, "grpc": proto == "grpc"}
	if err := template.Must(template.New(name).Parse(text)).Execute(&config, data); err != nil {
		return "", nil, err
	}
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
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
