//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package httpadapter

import "net"

// hasInput says no: nobody knows here.
func hasInput(net.Conn) bool { return false }
