//go:build unix

package controller

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// brokenPipe is the signal of a write to a pipe that nobody reads.
const brokenPipe = syscall.SIGPIPE

// catchable reports whether the platform lets a process catch the signal.
func catchable(s syscall.Signal) bool { return s != syscall.SIGKILL && s != syscall.SIGSTOP }

// foreground reports whether standard input is the terminal of this process, and its
// process group the one to which that sends what is typed.
func foreground() bool {
	group, err := unix.IoctlGetInt(unix.Stdin, unix.TIOCGPGRP)
	own, failed := unix.Getpgid(0)
	return err == nil && failed == nil && (group == own || group>>32 == own) // the kernel writes 32 bits: the upper ones of a big-endian int
}

// systemClock returns the time of the operating system, also where package time has
// another one.
func systemClock() (time.Time, bool) {
	var now syscall.Timeval
	if err := syscall.Gettimeofday(&now); err != nil {
		return time.Time{}, false
	}
	return time.Unix(now.Unix()), true
}
