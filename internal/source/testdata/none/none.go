// Package none has no machine.
package none

func NewFSM() {}

var _ = func() int { NewFSM(); return 0 }()
