//go:build !linux

package httpadapter

// acknowledged says that the peer has acknowledged everything: nobody knows here.
func acknowledged(uintptr) bool { return true }
