package main

import "os"

// signalSelf sends this process a signal. Where the platform cannot, as on Windows, it
// returns an error.
func signalSelf(s os.Signal) error {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	return self.Signal(s)
}
