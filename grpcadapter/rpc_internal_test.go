package grpcadapter

import (
	"context"
	"math/rand/v2"
	"runtime"
	"testing"
	"unsafe"
	"weak"
)

// A handler's context that a handler keeps, for example in a cache, keeps its own RPC
// in memory, and none of those that ran at the same time or later.
func TestKeptContext(t *testing.T) {
	s := newServer(nil)
	var all []weak.Pointer[rpc]
	const kept = 77
	ctx := func() context.Context { // what is on its stack is gone afterwards
		var rpcs []*rpc
		for range 200 { // many in each of the tracker's lists
			r := &rpc{Context: context.Background(), method: s.other}
			if !s.begin(r) {
				t.Fatal("an RPC was refused")
			}
			rpcs, all = append(rpcs, r), append(all, weak.Make(r))
		}
		for _, i := range rand.Perm(len(rpcs)) {
			s.end(rpcs[i])
		}
		return rpcs[kept].handlerContext()
	}()
	runtime.GC()
	for i, p := range all {
		if alive := p.Value() != nil; alive != (i == kept) {
			t.Errorf("RPC %d of %d is alive: %v", i+1, len(all), alive)
		}
	}
	runtime.KeepAlive(ctx)
}

// The record of an RPC is one allocation of 64 bytes, which is a size that Go allocates.
func TestRecordSize(t *testing.T) {
	if size := unsafe.Sizeof(rpc{}); size > 64 && unsafe.Sizeof(uintptr(0)) == 8 {
		t.Errorf("an rpc has %d bytes, and so costs 80", size)
	}
}
