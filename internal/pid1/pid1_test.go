package pid1

import (
	"os"
	"slices"
	"syscall"
	"testing"
)

// TestLoses: which signals PID 1 does not pass on.
func TestLoses(t *testing.T) {
	t.Parallel()
	both := []os.Signal{syscall.SIGTERM, syscall.SIGINT}
	sh := Process{exe: "/usr/bin/dash", name: "sh", args: []string{"/bin/sh", "-c", "app; true"}}
	tests := map[string]struct {
		parent Process
		wanted []os.Signal
		want   []string
	}{
		"shell form":                {sh, both, []string{"terminated"}},
		"a script":                  {Process{exe: "/usr/bin/bash", name: "entrypoint.sh", args: []string{"/bin/bash", "/entrypoint.sh"}}, both, []string{"terminated"}},
		"another user's script":     {Process{name: "entrypoint.sh", args: []string{"/bin/sh", "/entrypoint.sh"}}, both, []string{"terminated"}},
		"another user's shell":      {Process{name: "login", args: []string{"-bash"}}, both, []string{"terminated"}},
		"only its name":             {Process{name: "zsh"}, both, []string{"terminated"}},
		"a script on Alpine":        {Process{exe: "/bin/busybox", name: "docker-entrypoi", args: []string{"/bin/sh", "/docker-entrypoint.sh"}}, both, []string{"terminated"}},
		"a shell on Alpine":         {Process{exe: "/bin/busybox", name: "sh", args: []string{"sh", "-c", "app; true"}}, both, []string{"terminated"}},
		"busybox sh":                {Process{exe: "/bin/busybox", name: "busybox", args: []string{"busybox", "ash"}}, both, []string{"terminated"}},
		"several signals":           {sh, []os.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGTERM}, []string{"hangup", "terminated"}},
		"another signal":            {sh, []os.Signal{syscall.SIGQUIT}, []string{"quit"}},
		"an interrupt is typed":     {sh, []os.Signal{syscall.SIGINT}, nil},
		"systemd":                   {Process{exe: "/usr/lib/systemd/systemd", name: "systemd", args: []string{"/sbin/init"}}, both, nil},
		"systemd, for a user":       {Process{name: "systemd", args: []string{"/sbin/init", "splash"}}, both, nil},
		"init on Alpine":            {Process{exe: "/bin/busybox", name: "init", args: []string{"/sbin/init"}}, both, nil},
		"busybox init":              {Process{exe: "/bin/busybox", name: "busybox", args: []string{"busybox", "init"}}, both, nil},
		"tini":                      {Process{exe: "/usr/bin/tini", name: "tini", args: []string{"tini", "--", "sh"}}, both, nil},
		"docker --init":             {Process{exe: "/sbin/docker-init", name: "docker-init", args: []string{"/sbin/docker-init", "--", "app"}}, both, nil},
		"a program that is not one": {Process{exe: "/usr/bin/node", name: "sh", args: []string{"sh"}}, both, nil},
		"nothing known":             {Process{}, both, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tt.parent.Loses(tt.wanted); !slices.Equal(got, tt.want) {
				t.Errorf("it loses %q, want %q", got, tt.want)
			}
		})
	}
}
