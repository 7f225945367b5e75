package proptest

import (
	"bytes"
	"regexp"
	"runtime"
	"strings"
)

// module is the library's path.
const module = "github.com/lastcall-go/lastcall"

// Goroutines returns the first lines of the stacks of those goroutines of the caller's
// bubble that functions of the library have created: of package controller, and of the
// packages below. All others must be blocked when it is called.
func Goroutines() (above, below []string) {
	buf := make([]byte, 1<<16)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	stacks := bytes.Split(buf[:n], []byte("\n\n"))
	bubble := regexp.MustCompile(`synctest bubble \d+`)
	own := bubble.Find(stacks[0]) // the caller's stack comes first
	for _, stack := range stacks {
		first, _, _ := bytes.Cut(stack, []byte("\n"))
		_, maker, _ := strings.Cut(string(stack), "created by "+module)
		maker, _, _ = strings.Cut(maker, "\n")
		switch {
		case maker == "" || strings.HasPrefix(maker, "_test") || strings.HasPrefix(maker, "/internal/proptest.") || !bytes.Equal(bubble.Find(first), own):
		case strings.HasPrefix(maker, "/controller."):
			above = append(above, maker)
		default:
			below = append(below, maker)
		}
	}
	return above, below
}
