package controller

import (
	"os"
	"slices"
	"syscall"
	"testing"
)

// TestParentLoses: which signals PID 1 does not pass on.
func TestParentLoses(t *testing.T) {
	t.Parallel()
	both := []os.Signal{syscall.SIGTERM, syscall.SIGINT}
	sh := parent{exe: "/usr/bin/dash", name: "sh", args: []string{"/bin/sh", "-c", "app; true"}}
	tests := map[string]struct {
		parent parent
		wanted []os.Signal
		want   []string
	}{
		"shell form":                {sh, both, []string{"terminated"}},
		"a script":                  {parent{exe: "/usr/bin/bash", name: "entrypoint.sh", args: []string{"/bin/bash", "/entrypoint.sh"}}, both, []string{"terminated"}},
		"another user's script":     {parent{name: "entrypoint.sh", args: []string{"/bin/sh", "/entrypoint.sh"}}, both, []string{"terminated"}},
		"another user's shell":      {parent{name: "login", args: []string{"-bash"}}, both, []string{"terminated"}},
		"only its name":             {parent{name: "zsh"}, both, []string{"terminated"}},
		"a script on Alpine":        {parent{exe: "/bin/busybox", name: "docker-entrypoi", args: []string{"/bin/sh", "/docker-entrypoint.sh"}}, both, []string{"terminated"}},
		"a shell on Alpine":         {parent{exe: "/bin/busybox", name: "sh", args: []string{"sh", "-c", "app; true"}}, both, []string{"terminated"}},
		"busybox sh":                {parent{exe: "/bin/busybox", name: "busybox", args: []string{"busybox", "ash"}}, both, []string{"terminated"}},
		"several signals":           {sh, []os.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGTERM}, []string{"hangup", "terminated"}},
		"another signal":            {sh, []os.Signal{syscall.SIGQUIT}, []string{"quit"}},
		"an interrupt is typed":     {sh, []os.Signal{syscall.SIGINT}, nil},
		"systemd":                   {parent{exe: "/usr/lib/systemd/systemd", name: "systemd", args: []string{"/sbin/init"}}, both, nil},
		"systemd, for a user":       {parent{name: "systemd", args: []string{"/sbin/init", "splash"}}, both, nil},
		"init on Alpine":            {parent{exe: "/bin/busybox", name: "init", args: []string{"/sbin/init"}}, both, nil},
		"busybox init":              {parent{exe: "/bin/busybox", name: "busybox", args: []string{"busybox", "init"}}, both, nil},
		"tini":                      {parent{exe: "/usr/bin/tini", name: "tini", args: []string{"tini", "--", "sh"}}, both, nil},
		"docker --init":             {parent{exe: "/sbin/docker-init", name: "docker-init", args: []string{"/sbin/docker-init", "--", "app"}}, both, nil},
		"a program that is not one": {parent{exe: "/usr/bin/node", name: "sh", args: []string{"sh"}}, both, nil},
		"nothing known":             {parent{}, both, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tt.parent.loses(tt.wanted); !slices.Equal(got, tt.want) {
				t.Errorf("it loses %q, want %q", got, tt.want)
			}
		})
	}
}
