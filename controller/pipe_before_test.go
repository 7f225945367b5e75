//go:build linux

package controller_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/report"
)

// writeLines writes to standard output until that fails, and again if the kind says so; and
// before it to a socket whose peer has gone, as any server does now and then, or only there.
func writeLines(kind string, say func(any)) {
	if strings.Contains(kind, "socket") {
		if read, write, err := os.Pipe(); err == nil {
			_ = read.Close()
			_, err = write.WriteString("an answer")
			say(err)
		}
		time.Sleep(sameRequest + sameRequest/5)
		say("writes")
	}
	for !strings.Contains(kind, "only") {
		if _, err := fmt.Fprintln(os.Stdout, "a line of the access log"); err != nil {
			say("lost")
			if !strings.Contains(kind, "again") {
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// The signal that ended the reader is heard a moment after a line was lost to it.
func TestProcessBrokenPipeJustBeforeTheTrigger(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"writes quiet", "writes quiet none", "writes quiet starting", "writes quiet socket"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			stdout, reader := brokenPipe(t), (*os.File)(nil)
			if strings.Contains(kind, "socket") {
				reader, stdout = openPipe(t)
			}
			p := startTalker(t, kind, []string{os.Args[0]}, func(cmd *exec.Cmd) { cmd.Stdout = stdout })
			if reader != nil {
				p.until("writes")
				reader.Close()
			}
			p.until("lost")
			p.signal(syscall.SIGTERM)
			status, said := p.end()
			if status.ExitStatus() != report.ExitOK || !strings.Contains(said, "closed") || !strings.Contains(said, "flushed") {
				t.Errorf("it ended with %v, having said\n%s", status, said)
			}
		})
	}
}

// Without a trigger a pipe without a reader ends the process that goes on to write to it, as it
// ends any other, unless main has that ignored. A client that leaves ends none.
func TestProcessBrokenPipeBeforeTheTrigger(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"writes again", "writes quiet again", "writes quiet starting again"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := startTalker(t, kind, []string{os.Args[0]}, func(cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = brokenPipe(t), brokenPipe(t) })
			if status, said := p.end(); !status.Signaled() || status.Signal() != syscall.SIGPIPE {
				t.Errorf("it ended with %v, having said\n%s", status, said)
			}
		})
	}
	t.Run("a client leaves", func(t *testing.T) {
		t.Parallel()
		p := startTalker(t, "writes quiet socket only", []string{os.Args[0]}, func(cmd *exec.Cmd) { cmd.Stdout = brokenPipe(t) })
		p.until("writes")
		p.signal(syscall.SIGTERM)
		if status, said := p.end(); status.ExitStatus() != report.ExitOK {
			t.Errorf("it ended with %v, having said\n%s", status, said)
		}
	})
	t.Run("ignored", func(t *testing.T) {
		t.Parallel()
		p := startTalker(t, "ignores writes quiet", []string{os.Args[0]}, func(cmd *exec.Cmd) { cmd.Stdout = brokenPipe(t) })
		p.until("lost")
		time.Sleep(1100 * time.Millisecond) // for longer than others would live
		p.signal(syscall.SIGTERM)
		if status, said := p.end(); status.ExitStatus() != report.ExitOK {
			t.Errorf("it ended with %v, having said\n%s", status, said)
		}
	})
}
