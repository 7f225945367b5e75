//go:build !unix

package controller

import "os"

// writeStderr writes a line to stderr, or loses it.
func writeStderr(line string) { _, _ = os.Stderr.WriteString(line) }
