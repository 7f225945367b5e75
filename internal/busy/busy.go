// Package busy measures, in tests in real time, for how long the machine kept this process from
// running. What such a test says of times holds but for that.
package busy

import (
	"sync"
	"time"
)

// beat is how often a Clock looks.
const beat = 5 * time.Millisecond

// Clock measures until the channel that Watch was given is closed.
type Clock struct {
	mu           sync.Mutex
	last         time.Time
	all, longest time.Duration
}

// Watch begins to measure. In a bubble of testing/synctest there is nothing to measure: a nil
// Clock says so.
func Watch(over <-chan struct{}) *Clock {
	c := &Clock{last: time.Now()}
	go func() {
		for {
			select {
			case <-time.After(beat):
				c.Late()
			case <-over:
				return
			}
		}
	}()
	return c
}

// Late returns for how long in all a timer of 5 ms was late by 5 ms or more, and for how long
// at once. Both may be asked for at any time, also right after the machine went on.
func (c *Clock) Late() (all, longest time.Duration) {
	if c == nil {
		return 0, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if late := now.Sub(c.last) - beat; late >= beat {
		c.all, c.longest = c.all+late, max(c.longest, late)
	}
	c.last = now
	return c.all, c.longest
}
