//go:build !unix

package main

import "os"

// columns returns how wide a terminal is, which there is no portable way to ask.
func columns(*os.File) int { return defaultColumns }
