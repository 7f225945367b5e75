package controller

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/lastcall-go/lastcall/internal/pid1"
	"github.com/lastcall-go/lastcall/report"
)

// interruptIgnored reports whether this process was started with SIGINT ignored, as a
// shell starts what stands before an &. Once signal.Notify was called for it, that can
// no longer be known.
func interruptIgnored() bool { return signal.Ignored(os.Interrupt) }

// warnOfParent warns if signals that should trigger will not come. What is to be read
// about the parent is read on a goroutine of its own, and only where it may matter. A
// process in the background is not warned: while a shell waits for that, a trap may pass
// signals on, and the shell may set one later.
func (r *run) warnOfParent(background bool) {
	if background || !r.signals.ours || !pid1.Waits() {
		return
	}
	wanted := []os.Signal{syscall.SIGTERM}
	if r.config.triggers != nil {
		wanted = r.config.triggers.signals
	}
	var shell string
	var lost []string
	r.ask(report.OpParent, "1", func() {
		p := pid1.Read()
		shell, lost = p.Shell(), p.Loses(wanted)
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
