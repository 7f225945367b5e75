//go:build ignore

// Command ignored is built by its file's name alone, as looplab's examples are.
package main

import "github.com/looplab/fsm"

func main() {
	_ = fsm.NewFSM("a", fsm.Events{{Name: "x", Src: []string{"a"}, Dst: "b"}}, nil)
}
