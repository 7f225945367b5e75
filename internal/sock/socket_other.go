//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package sock

import (
	"net"
	"syscall"
)

// Discard does nothing here: a peer whose input was not read may see a reset.
func Discard(net.Conn) bool { return false }

// Blocks returns false: it is not known.
func Blocks(syscall.Conn) bool { return false }

// Waits returns false: it is not known.
func Waits(syscall.Conn) bool { return false }
