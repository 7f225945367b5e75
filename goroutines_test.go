package lastcall_test

import (
	"bytes"
	"regexp"
	"runtime"
)

var bubble = regexp.MustCompile(`synctest bubble \d+`)

// aliveIn counts the goroutines of the caller's bubble that functions with this
// prefix created. All others must be blocked when it is called.
func aliveIn(prefix string) int {
	buf := make([]byte, 1<<16)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	stacks := bytes.Split(buf[:n], []byte("\n\n"))
	own := append(bubble.Find(stacks[0]), "]:\n"...) // the caller's stack comes first
	count := 0
	for _, stack := range stacks {
		if bytes.Contains(stack, own) && bytes.Contains(stack, []byte("created by "+prefix)) {
			count++
		}
	}
	return count
}
