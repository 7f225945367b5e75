package stacks

import (
	"bytes"
	"context"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

// A goroutine is found by its label and named with the line of the program's own code, and
// one that it has started is not.
func TestTake(t *testing.T) {
	p := &profile{
		strings:   []string{"", Label, "closer", "main.run", "/src/main.go", "sync.(*Mutex).Lock", "/go/sync/mutex.go", "github.com/lastcall-go/lastcall/controller.guard", "guard.go", "runtime.goexit", "database/sql.(*DB).Close"},
		functions: map[uint64]function{1: {3, 4}, 2: {5, 6}, 3: {7, 8}, 4: {9, 8}, 5: {10, 6}},
		locations: map[uint64][]line{1: {{2, 90}, {1, 42}}, 2: {{3, 7}}, 3: {{4, 1}}, 4: {{2, 90}}, 5: {{5, 100}}},
		samples: []sample{
			{[]uint64{1, 2, 3}, 2, [][2]uint64{{1, 2}}},
			{[]uint64{4, 5, 2, 3}, 1, [][2]uint64{{1, 2}}},
			{[]uint64{1, 3}, 1, [][2]uint64{{1, 2}}}, // started by the call
			{[]uint64{1, 2, 3}, 1, nil},
		},
	}
	got := p.stacks(nil)
	if len(got) != 2 || got[0].Count != 2 || got[0].Func != "main.run" || got[0].Line != 42 || got[0].In != "sync.(*Mutex).Lock" || got[0].Of != "closer" ||
		got[1].Func != "database/sql.(*DB).Close" || got[1].In != "sync.(*Mutex).Lock" || len(got[0].Frames) != 2 {
		t.Errorf("found %+v", got)
	}
}

// Names of generic functions have no hashes or types in them, as in a traceback.
func TestTakeGeneric(t *testing.T) {
	p := &profile{
		strings: []string{"", Label, "stream", "main.each[go.shape.int]", "/src/main.go", "google.golang.org/grpc.(*GenericServerStream[go.shape.6efa883a,go.shape.struct { example.com/a/b.x []int }]).Recv",
			"stream.go", "github.com/lastcall-go/lastcall/controller.guard"},
		functions: map[uint64]function{1: {3, 4}, 2: {5, 6}, 3: {7, 6}},
		locations: map[uint64][]line{1: {{2, 90}}, 2: {{1, 42}}, 3: {{3, 7}}},
		samples:   []sample{{[]uint64{1, 2, 3}, 1, [][2]uint64{{1, 2}}}},
	}
	got := p.stacks(nil)
	if len(got) != 1 || got[0].Func != "main.each[...]" || got[0].In != "google.golang.org/grpc.(*GenericServerStream[...]).Recv" || got[0].Frames[0] != got[0].In+" stream.go:90" {
		t.Errorf("found %+v", got)
	}
}

// The profile of the running program is read whole: each of its goroutines has frames.
func TestParseOwnProfile(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	for range 100 {
		go func() {
			pprof.SetGoroutineLabels(Of(context.Background(), "waits"))
			<-stop
		}()
	}
	for {
		out := &limited{left: maxProfile}
		if err := pprof.Lookup("goroutine").WriteTo(out, 0); err != nil {
			t.Fatal(err)
		}
		p, err := parse(&out.buffer)
		if err != nil {
			t.Fatal(err)
		}
		found, frames := int64(0), ""
		for _, s := range p.samples {
			what, ok := p.what(s)
			if !ok || what != "waits" {
				continue
			}
			found += s.count
			for _, id := range s.locations {
				for _, l := range p.locations[id] {
					frames += p.text(p.functions[l.function].name) + "\n"
				}
			}
		}
		if found == 100 && strings.Contains(frames, "stacks.TestParseOwnProfile.func1") && strings.Contains(frames, "runtime.gopark") {
			return
		}
		time.Sleep(time.Millisecond) // some have not begun
	}
}

// Where no code of the program's own runs, a reader is shown what was called, and not how that
// waits.
func TestPlace(t *testing.T) {
	const root = "github.com/lastcall-go/lastcall/"
	for want, names := range map[string][]string{
		"httpadapter.(*Server).GracefulStop":    {"runtime.gopark", "runtime.chanrecv", "runtime.chanrecv1", root + "httpadapter.(*Server).GracefulStop", root + "controller.(*server).gracefulStop.func1"},
		"drain.(*Group).GracefulStop":           {"runtime.gopark", "sync.runtime_SemacquireWaitGroup", "sync.(*WaitGroup).Wait", root + "drain.(*Group).GracefulStop", root + "controller.(*server).gracefulStop.func1"},
		"grpcadapter.(*Server).GracefulStop":    {"runtime.gopark", "internal/sync.runtime_SemacquireMutex", "internal/sync.(*Mutex).lockSlow", "internal/sync.(*Mutex).Lock", "sync.(*Mutex).Lock", root + "grpcadapter.(*Server).GracefulStop"},
		"sync.(*WaitGroup).Wait":                {"runtime.gopark", "sync.runtime_SemacquireWaitGroup", "sync.(*WaitGroup).Wait", root + "controller.plain.func1"},
		"database/sql.(*DB).Close":              {"runtime.gopark", "sync.(*Mutex).Lock", "database/sql.(*DB).Close", root + "controller.plain.func1"},
		"net.(*TCPListener).Close":              {"runtime.gopark", "internal/poll.runtime_Semacquire", "internal/poll.(*FD).Close", "net.(*TCPListener).Close", root + "drain.(*Group).close"},
		"google.golang.org/grpc.(*Server).stop": {"runtime.gopark", "sync.(*Cond).Wait", "google.golang.org/grpc.(*Server).stop", "google.golang.org/grpc.(*Server).GracefulStop", root + "grpcadapter.(*Server).GracefulStop"},
		"example.com/lib.(*C).Close":            {"runtime.gopark", "example.com/lib.(*C).Close", "google.golang.org/grpc.(*Server).Stop"},
		"main.f":                                {"runtime.gopark", "example.com/lib.(*C).Close", "main.f", root + "controller.plain.func1"},
	} {
		var frames []frame
		for _, name := range names {
			frames = append(frames, frame{name, "x.go", 1})
		}
		if at, _ := place(frames, nil); strings.TrimPrefix(at.name, root) != want {
			t.Errorf("%s, want %s", at.name, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	out := &limited{left: maxProfile}
	if err := pprof.Lookup("goroutine").WriteTo(out, 0); err != nil {
		f.Fatal(err)
	}
	p := out.buffer.Bytes()
	f.Add(p)
	f.Add(p[:len(p)/2])
	f.Add([]byte{8, 1, 0x12, 5, 10, 3, 1, 2, 3})
	f.Fuzz(func(_ *testing.T, text []byte) {
		if p, err := parse(bytes.NewReader(text)); err == nil {
			p.stacks(nil)
		}
		p := &profile{locations: map[uint64][]line{}, functions: map[uint64]function{}}
		if message(text, p.field) == nil {
			p.stacks([]string{"example.com/x"})
		}
	})
}
