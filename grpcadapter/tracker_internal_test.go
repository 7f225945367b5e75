package grpcadapter

import (
	"context"
	"runtime"
	"testing"
	"weak"
)

// A handler's context that somebody keeps, for example in a cache, keeps its own RPC
// in memory, and none of those that ran at the same time or later.
func TestKeptContext(t *testing.T) {
	tr := newTracker(newServer())
	tr.shards = tr.shards[:1] // all RPCs are neighbours
	var all []weak.Pointer[rpc]
	begin := func() *rpc {
		r := &rpc{Context: context.Background(), method: tr.other}
		if !tr.begin(r) {
			t.Fatal("an RPC was refused")
		}
		all = append(all, weak.Make(r))
		return r
	}
	kept := func() context.Context { // what is on its stack is gone afterwards
		first, second := begin(), begin()
		third := begin()
		tr.end(second) // between two others
		fourth := begin()
		tr.end(first)
		tr.end(third)
		fifth := begin()
		tr.end(fourth)
		tr.end(fifth)
		return second.handlerContext()
	}()
	runtime.GC()
	for i, p := range all {
		if alive := p.Value() != nil; alive != (i == 1) {
			t.Errorf("RPC %d of %d is alive: %v", i+1, len(all), alive)
		}
	}
	runtime.KeepAlive(kept)
}
