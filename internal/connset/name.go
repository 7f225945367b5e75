package connset

import (
	"fmt"
	"net"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// maxNames is how many connections Names names.
const maxNames = 10

// Names returns a text for each connection, with the peer's address and ours, and one that
// counts the rest if there are many. It calls RemoteAddr and LocalAddr, which may block.
func Names[C net.Conn](conns []C) []string {
	var all []string
	for _, c := range conns[:min(len(conns), maxNames)] {
		all = append(all, Address(c.RemoteAddr)+" -> "+Address(c.LocalAddr))
	}
	if more := len(conns) - maxNames; more > 0 {
		all = append(all, fmt.Sprintf("%d more", more))
	}
	return all
}

// Address returns the text of an address, or "?" if there is none. It calls of, which may
// block.
func Address(of func() net.Addr) (text string) {
	text = "?"
	defer func() { _ = recover() }() // nothing depends on it
	if a := of(); !foreign.IsNil(a) {
		text = a.String()
	}
	return text
}

// Counted returns the text of a note about one of something, or about many with their number,
// and nothing if there is none.
func Counted(n int, one, many string) []string {
	switch n {
	case 0:
		return nil
	case 1:
		return []string{one}
	default:
		return []string{fmt.Sprintf(many, n)}
	}
}
