package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime/pprof"
)

// writeGoroutines writes the stacks of all goroutines to a file, if there is a path.
func writeGoroutines(path string) error {
	if path == "" {
		return nil
	}
	var stacks bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, 2); err != nil {
		return fmt.Errorf("goroutines: %w", err)
	}
	if err := os.WriteFile(path, stacks.Bytes(), 0o600); err != nil {
		return fmt.Errorf("goroutines: %w", err)
	}
	return nil
}
