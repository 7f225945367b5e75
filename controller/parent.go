package controller

import (
	"fmt"
	"os"
	"os/signal"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/lastcall-go/lastcall/report"
)

// parent is what is known of the process that started this one, if that is the first
// process of a container (PID 1 of a PID namespace). What stops a container sends
// SIGTERM to that process only. A shell does not pass it on: without a trap the
// kernel does not even give it to PID 1, and a trap runs when the program that the
// shell waits for has ended. So nobody is told, until SIGKILL ends everybody.
//
// That is the only case that can be known and matters. Signals that were ignored or
// blocked when this process was started come through: signal.Notify sees to it.
type parent struct {
	exe  string   // what it runs; "" if that is not for us to know
	name string   // what the kernel calls it: of a script the script's name
	args []string // its command line: of a script its interpreter comes first
}

// shell returns the name of the shell that the parent is, or "".
func (p parent) shell() string {
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
func (p parent) applet() string {
	args := p.args
	if len(args) > 1 && path.Base(args[0]) == "busybox" {
		args = args[1:]
	}
	if len(args) == 0 {
		return ""
	}
	return strings.TrimPrefix(args[0], "-") // of a login shell
}

// loses returns those of the signals that will not come if the parent is a shell. An
// interrupt is typed at a terminal, and all its processes get it.
func (p parent) loses(wanted []os.Signal) []string {
	if p.shell() == "" {
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

// interruptIgnored says whether this process was started with SIGINT ignored, as a
// shell starts what stands before an &. Once signal.Notify was called for it nobody
// knows any more.
func interruptIgnored() bool { return signal.Ignored(os.Interrupt) }

// warnOfParent warns if signals that should trigger will not come. What is to be read
// about the parent is read on a goroutine of its own, and only where it may matter. A
// process in the background is not warned: while a shell waits for that, a trap may pass
// signals on, and the shell may set one later.
func (r *run) warnOfParent(background bool) {
	if background || !r.signals.ours || !waitedForByFirst() {
		return
	}
	wanted := r.config.signals
	if !r.config.signalsSet {
		wanted = []os.Signal{syscall.SIGTERM}
	}
	var shell string
	var lost []string
	r.ask(report.OpParent, "1", func() {
		p := readFirst()
		shell, lost = p.shell(), p.loses(wanted)
	}, func() {
		if len(lost) == 0 {
			return
		}
		s := r.newStep(report.KindWarning, "PID 1 is a shell")
		s.Text = fmt.Sprintf("PID 1 is %s, a shell, which does not pass signals on: the %s that stops the container will not reach this process; "+
			"use the exec form of ENTRYPOINT and CMD, or start this process with exec in the script", shell, strings.Join(lost, " or "))
		r.tell(*s)
	})
}
