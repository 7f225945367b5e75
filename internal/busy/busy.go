// Package busy measures for how long the machine kept this process from running. Tests in
// real time allow for that in the times that they check.
package busy

import (
	"sync"
	"time"
)

// beat is how often a Clock looks.
const beat = 5 * time.Millisecond

// Clock measures until the channel that Watch was given is closed.
type Clock struct {
	over         <-chan struct{}
	mu           sync.Mutex
	last         time.Time
	all, longest time.Duration
}

// Watch begins to measure. In a bubble of testing/synctest there is nothing to measure: a nil
// Clock says so.
func Watch(over <-chan struct{}) *Clock {
	if time.Now().Year() < 2020 { // the clock of a bubble begins in the year 2000
		return nil
	}
	c := &Clock{over: over, last: time.Now()}
	time.AfterFunc(beat, c.look) // no goroutine that tests would find left
	return c
}

func (c *Clock) look() {
	select {
	case <-c.over:
	default:
		c.Late()
		time.AfterFunc(beat, c.look)
	}
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
