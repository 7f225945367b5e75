// Package pid1 knows whether the process that started this one is the shell that is
// process 1 of a container, and which signals it keeps to itself.
package pid1

import (
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Process is what is known of the process that started this one, if that is the first
// process of a container (PID 1 of a PID namespace). What stops a container sends
// SIGTERM to that process only. A shell does not pass it on: without a trap the
// kernel does not even give it to PID 1, and a trap runs when the program that the
// shell waits for has ended. So no process is told, until SIGKILL ends them all.
//
// That is the only case that can be known and matters. Signals that were ignored or
// blocked when this process was started come through: signal.Notify sees to it.
type Process struct {
	exe  string   // what it runs; "" if that is not for us to know
	name string   // what the kernel calls it: of a script the script's name
	args []string // its command line: of a script its interpreter comes first
}

// Shell returns the name of the shell that the parent is, or "".
func (p Process) Shell() string {
	candidates := []string{p.exe}
	if p.exe == "" || path.Base(p.exe) == "busybox" { // which is many programs in one
		candidates = append(candidates, p.name, p.applet())
	}
	for _, c := range candidates {
		switch base := path.Base(c); base {
		case "sh", "bash", "dash", "ash", "ksh", "mksh", "zsh":
			return base
		default:
		}
	}
	return ""
}

// applet returns what the command line runs.
func (p Process) applet() string {
	args := p.args
	if len(args) > 1 && path.Base(args[0]) == "busybox" {
		args = args[1:]
	}
	if len(args) == 0 {
		return ""
	}
	return strings.TrimPrefix(args[0], "-") // of a login shell
}

// Loses returns those of the signals that will not come if the parent is a shell. An
// interrupt is typed at a terminal, and all its processes get it.
func (p Process) Loses(wanted []os.Signal) []string {
	if p.Shell() == "" {
		return nil
	}
	var lost []string
	for _, s := range wanted {
		if number, ok := s.(syscall.Signal); ok && s != os.Interrupt {
			lost = append(lost, number.String())
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(lost)))
}
