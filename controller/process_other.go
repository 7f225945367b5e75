//go:build !unix

package controller

import (
	"os"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
)

// brokenPipe is none: a write to a pipe without a reader only fails here.
const brokenPipe = syscall.Signal(0)

// catchable reports whether the platform lets a process catch the signal.
func catchable(s syscall.Signal) bool { return s != syscall.SIGKILL }

// foreground reports whether standard input is a terminal.
func foreground() bool { return isatty.IsTerminal(os.Stdin.Fd()) }

// systemClock does not know the time of the operating system.
func systemClock() (time.Time, bool) { return time.Time{}, false }

// isOutputBroken does not know.
func isOutputBroken() bool { return false }

// writeStderr writes a line to stderr.
func writeStderr(line string) error {
	_, err := os.Stderr.WriteString(line)
	return err
}
