package controller

import "time"

// yield lets other goroutines run, and returns. In a testing/synctest bubble it
// returns when all of them are blocked, in the same instant: a timer that is due
// fires there only then. Outside it returns within microseconds.
func yield() {
	done := make(chan struct{})
	time.AfterFunc(0, func() { close(done) })
	<-done
}
