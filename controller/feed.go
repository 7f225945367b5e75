package controller

import "sync"

// feed hands items to one listener, an observer or the logger: one at a time, in
// order, on a goroutine that exists only while there is something to hand over.
// Whoever puts never waits for the listener.
type feed struct {
	op   Op
	name string
	idle func() // called when the queue has become empty

	mu      sync.Mutex
	queue   []func()
	running bool // a goroutine is at work
	closed  bool
	told    int // how many items it has taken without panic or Goexit
	failed  int // how many it has not
}

// put adds an item. The item calls the listener.
func (f *feed) put(item func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue = append(f.queue, item)
	f.startLocked()
}

// startLocked starts a goroutine if there is work and none is at it.
func (f *feed) startLocked() {
	if !f.running && !f.closed && len(f.queue) > 0 {
		f.running = true
		go f.work()
	}
}

func (f *feed) work() {
	defer func() { // also after a Goexit
		f.mu.Lock()
		f.running = false
		f.startLocked()
		f.mu.Unlock()
		f.idle()
	}()
	for {
		item, ok := f.take()
		if !ok {
			return
		}
		guard(func() error { item(); return nil }, f.count)
	}
}

func (f *feed) take() (func(), bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.queue) == 0 {
		return nil, false
	}
	item := f.queue[0]
	f.queue = f.queue[1:]
	return item, true
}

func (f *feed) count(r result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.result == ResultOK {
		f.told++
	} else {
		f.failed++
	}
}

// busy says whether an item is with the listener or waits for it.
func (f *feed) busy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running || len(f.queue) > 0
}

// close lets no further item reach the listener, and returns what became of those
// that were put.
func (f *feed) close() Delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return Delivery{Op: f.op, Name: f.name, Told: f.told, Failed: f.failed, Missed: len(f.queue), Busy: f.running}
}

// Delivery says what an observer, or the logger, was told.
type Delivery struct {
	Op     Op     // OpObserve or OpLog
	Name   string // as registered; the logger has none
	Told   int    // how many items it took
	Failed int    // during how many it panicked or called runtime.Goexit
	Missed int    // how many waited behind one that it had not finished when Run returned
	Busy   bool   // whether it had one that it had not finished
}
