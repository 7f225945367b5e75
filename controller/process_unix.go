//go:build unix

package controller

import (
	"cmp"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// brokenPipe is the signal of a write to a pipe without a reader.
const brokenPipe = syscall.SIGPIPE

// catchable reports whether a Go program can hear the signal, and only when it was sent to it:
// the runtime sends itself SIGURG, to preempt goroutines, and leaves 32 to 34 to Linux's C
// libraries.
func catchable(s syscall.Signal) bool {
	if runtime.GOOS == "linux" && s >= 32 && s <= 34 {
		return false
	}
	return s != syscall.SIGKILL && s != syscall.SIGSTOP && s != syscall.SIGURG
}

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

// isOutputBroken reports whether standard output or error has no reader.
func isOutputBroken() (broken bool) {
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		raw, err := f.SyscallConn()
		if err != nil {
			continue // it is closed
		}
		_ = raw.Control(func(fd uintptr) {
			one := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}} //nolint:gosec // descriptors are small
			n, err := unix.Poll(one, 0)
			broken = broken || err == nil && n > 0 && one[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
		})
	}
	return broken
}

// writeStderr writes a line to stderr, or loses it. It does so by the system call, because
// os.Stderr.Write ends the process if nothing reads the pipe any more; and through
// os.Stderr, because the program may have closed that, and its number may be another file's.
func writeStderr(line string) error {
	raw, err := os.Stderr.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) (done bool) {
		for {
			_, failed = syscall.Write(int(fd), []byte(line))
			switch failed {
			case syscall.EINTR:
			case syscall.EAGAIN:
				return false // of a pipe that does not block: call again when it takes more
			default:
				return true
			}
		}
	})
	return cmp.Or(err, failed)
}
