package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"sync"
)

// events is a log that is kept in memory and written in large pieces: cheap to
// add to, and lost in part if nobody closes it. Its methods may be called by any
// number of goroutines.
type events struct {
	mu   sync.Mutex
	file *os.File
	text *bufio.Writer
}

func openEvents(path string) (*events, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	return &events{file: file, text: bufio.NewWriterSize(file, 1<<20)}, nil
}

// add adds a line.
func (e *events) add(what string, guest uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, _ = fmt.Fprintln(e.text, what, guest) // Close returns the first error of all of them
}

// Close writes what is in memory to the disk and closes the file.
func (e *events) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return errors.Join(e.text.Flush(), e.file.Sync(), e.file.Close())
}
