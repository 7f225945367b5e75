//go:build unix

package controller

import (
	"cmp"
	"os"
	"syscall"
)

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
