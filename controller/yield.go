package controller

import "time"

// yield lets other goroutines run, and returns. In a testing/synctest bubble that
// is when all others are blocked or gone, in the same instant. In real time it is
// after some microseconds, in which those that are running go on, and others may
// not have run: nothing may depend on it but how likely something is.
//
// The timer is armed for later and then moved to now: one that is made for now
// fires in a bubble before anybody else has run (Go 1.26, runtime/time.go,
// timer.modify). The bubble may be firing other timers just then and take this one
// with them; it has stopped doing so when the next one comes. TestYield fails if
// any of that ever changes.
func yield() {
	for range 3 {
		done := make(chan struct{})
		time.AfterFunc(time.Hour, func() { close(done) }).Reset(0)
		<-done
	}
}
