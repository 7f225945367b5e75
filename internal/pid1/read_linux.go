package pid1

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Waits reports whether PID 1 is the parent, and may wait for this process in
// the foreground: not if it leads a process group, as all that shells with job
// control start does. It does not block.
func Waits() bool { return os.Getppid() == 1 && syscall.Getpgrp() != os.Getpid() }

// Read reads what /proc says about PID 1; nothing if it says nothing.
// These are no files of a file system that might hang: the kernel answers from
// memory. PID 1 is alive, as this process would have been killed with it. Its command
// line is read from its own memory, of which a page may have to come from swap.
func Read() Process {
	// A /proc of another PID namespace knows this process by another number, if at all.
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		return Process{}
	}
	var p Process
	// An error leaves a part empty: exe is only for those who may trace PID 1.
	exe, _ := os.Readlink("/proc/1/exe")
	p.exe = strings.TrimSuffix(exe, " (deleted)")
	comm, _ := os.ReadFile("/proc/1/comm")
	p.name = strings.TrimSuffix(string(comm), "\n")
	if line, _ := os.ReadFile("/proc/1/cmdline"); len(line) > 0 {
		p.args = strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	}
	return p
}
