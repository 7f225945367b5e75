package controller

import (
	"time"
)

// leastProgress is the least that WithProgress takes.
const leastProgress = 100 * time.Millisecond

// WithProgress sets how often a Step of kind [report.KindProgress] is told at most while the
// drain lasts: once in 5 seconds without this option. 0 turns progress off. There is one
// only if something has changed since the last one, and always one right before the
// timer. After the timer, while dependencies close, and if the trigger was a Ctrl-C
// typed at a terminal, there is one each second, or as often as here if that is more
// often; in the last case also if nothing has changed. Servers are asked InFlight for it. Less than 100 ms is an error.
func WithProgress(every time.Duration) Option {
	return register(func(c *config) {
		if every != 0 && every < leastProgress {
			c.fail("WithProgress: %v is less than %v; 0 turns progress off", every, leastProgress)
		}
		c.join(config{settings: settings{every: &every}})
	})
}

// WithoutStacks has no goroutine looked at: log and report name what hangs without the
// line of code. A look takes a goroutine profile, for which the program stands still for
// some milliseconds; it is taken once right before the timer, and then for what hangs.
func WithoutStacks() Option {
	return register(func(c *config) { c.noStacks = true })
}

// WithoutPeers leaves out of steps and the report whom work in flight serves, and what it
// asks for: the fields Peer and Path of [lastcall.Work], and the names of idle connections.
func WithoutPeers() Option {
	return register(func(c *config) { c.noPeers = true })
}
