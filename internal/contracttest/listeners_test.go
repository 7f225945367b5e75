package contracttest_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"
)

// misbehave are faults of listeners, and what a report names of them: nothing, if the
// listener could be closed.
var misbehave = map[string]struct {
	do    func(t *testing.T, lis net.Listener, over <-chan struct{}) net.Listener
	names string
}{
	"descriptor taken": {func(t *testing.T, lis net.Listener, _ <-chan struct{}) net.Listener {
		file, err := faults.TakeDescriptor(lis)
		if err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { file.Close() })
		return lis
	}, ""},
	"Accept ignores Close": {func(_ *testing.T, lis net.Listener, _ <-chan struct{}) net.Listener { return faults.Deaf(lis) }, ""},
	"Close hangs": {func(_ *testing.T, lis net.Listener, over <-chan struct{}) net.Listener {
		return &faults.Listener{Listener: lis, Faults: faults.In{faults.Close: faults.Hang(over)}}
	}, "net.Listener.Close"},
	"Addr hangs": {func(_ *testing.T, lis net.Listener, over <-chan struct{}) net.Listener {
		return &faults.Listener{Listener: lis, Faults: faults.In{faults.Addr: faults.Hang(over)}}
	}, "net.Listener.Addr"},
	"Addr panics": {func(_ *testing.T, lis net.Listener, _ <-chan struct{}) net.Listener {
		return &faults.Listener{Listener: lis, Faults: faults.In{faults.Addr: faults.Panic("no")}}
	}, ""},
	"Addr is nil": {func(_ *testing.T, lis net.Listener, _ <-chan struct{}) net.Listener { return nowhere{lis} }, ""},
}

// nowhere is a listener without an address, as one in memory may be.
type nowhere struct{ net.Listener }

func (nowhere) Addr() net.Addr { return nil }

// A listener that hangs does not delay the drain of any kind of server: the work in flight
// ends, no connection is served from then on, and the process exits with 0.
func TestListenersThatMisbehave(t *testing.T) {
	for name, k := range kinds() {
		for fault, tt := range misbehave {
			for _, network := range []string{"tcp", "unix"} {
				t.Run(fmt.Sprintf("%s/%s/%s", name, fault, network), func(t *testing.T) {
					t.Parallel()
					lis, dial := listen(t, network)
					over := make(chan struct{})
					t.Cleanup(func() { close(over) })
					p := run(t, k, tt.do(t, lis, over))
					call, end := k.client(t, dial)
					defer end()
					if _, err := call(t.Context(), "hello"); err != nil {
						t.Fatal(err)
					}
					answered := make(chan error, 1)
					go func() { _, err := call(context.Background(), "hold"); answered <- err }()
					<-p.held
					p.Shutdown(nil)
					<-p.draining
					time.Sleep(50 * time.Millisecond) // the call of GracefulStop has begun; now it has closed the listener
					ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
					var visitors sync.WaitGroup
					for range 5 {
						visitors.Go(func() {
							visitor, end := k.client(t, dial)
							defer end()
							if answer, err := visitor(ctx, "hello"); err == nil {
								t.Errorf("a client that comes in the drain is answered %q", answer)
							}
						})
					}
					visitors.Wait()
					cancel()
					close(p.release)
					if err := <-answered; err != nil && name != "admin" { // that has 100 ms
						t.Errorf("the call in flight: %v", err)
					}
					released := time.Now()
					end()
					r := <-p.end
					if took := time.Since(released); took > 3*time.Second || r.Outcome != report.OutcomeDrained || r.ExitCode() != report.ExitOK {
						t.Errorf("after %v\n%v", took, r)
					}
					named := tt.names == "" || name == "gRPC On" // a bare server has no InFlight
					for _, w := range r.Work {
						named = named || w.Kind == lastcall.WorkCall && w.Name == tt.names
						if tt.names == "" && w.Kind == lastcall.WorkCall && w.Running > 0 {
							t.Errorf("left: %+v", w)
						}
					}
					for _, s := range r.Steps { // on a busy machine the last question may get no answer within 10 ms
						named = named || s.Op == report.OpInFlight && s.Result == report.ResultTimedOut
					}
					if !named {
						t.Errorf("%s is not named:\n%v\n%+v", tt.names, r, r.Steps)
					}
				})
			}
		}
	}
}

// The file of a socket that another process has by now stays, whatever kind of server
// closes the old one.
func TestSocketFileOfAnother(t *testing.T) {
	for name, k := range kinds() {
		for _, taken := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s taken=%v", name, taken), func(t *testing.T) {
				t.Parallel()
				lis, dial := listen(t, "unix")
				path := lis.Addr().String()
				p := run(t, k, lis)
				if taken {
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
					lis, err := net.Listen("unix", path)
					if err != nil {
						t.Fatal(err)
					}
					run(t, k, lis)
				}
				p.Shutdown(nil)
				if r := <-p.end; r.ExitCode() != report.ExitOK {
					t.Error(r)
				}
				if _, err := os.Lstat(path); os.IsNotExist(err) == taken {
					t.Errorf("taken: %v, and the file: %v", taken, err)
				}
				if !taken {
					return
				}
				call, end := k.client(t, dial)
				defer end()
				if answer, err := call(t.Context(), "hello"); answer != "hello" || err != nil {
					t.Errorf("a client of the new one: %q, %v", answer, err)
				}
			})
		}
	}
}
