//go:build !unix

package controller

import "syscall"

// catchable reports whether the platform lets a process catch the signal.
func catchable(s syscall.Signal) bool { return s != syscall.SIGKILL }
