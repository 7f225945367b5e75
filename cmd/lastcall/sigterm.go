package main

import (
	"os"
	"syscall"
)

// sigterm sends this process a SIGTERM. Where the platform cannot, as on Windows,
// it returns an error.
func sigterm() error {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	return self.Signal(syscall.SIGTERM)
}
