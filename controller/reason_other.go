//go:build !unix

package controller

import "os"

// writeStderr writes a line to stderr.
func writeStderr(line string) error {
	_, err := os.Stderr.WriteString(line)
	return err
}
