package lastcall_test

import (
	"bytes"
	"runtime"
)

// aliveIn counts the goroutines that were created by functions with this prefix,
// in the bubble of the caller. It must be called when all others are blocked.
func aliveIn(prefix string) int {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	count := 0
	for _, stack := range bytes.Split(buf, []byte("\n\n")) {
		if bytes.Contains(stack, []byte("synctest bubble")) && bytes.Contains(stack, []byte("created by "+prefix)) {
			count++
		}
	}
	return count
}
