package child

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"time"

	"google.golang.org/grpc"
)

// LastLine is what main logs last.
const LastLine = "bench: main has nothing more to do"

// Main is the child's main, and returns the exit code. Descriptor 3 takes the answers to the
// parent's questions, which come on standard input, and descriptor 4 the events.
func Main(peers map[string]Peer, arg string) int {
	p := &Process{events: os.NewFile(4, "events")}
	if err := json.Unmarshal([]byte(arg), &p.Spec); err != nil {
		return usage(err)
	}
	run, ok := peers[p.Peer]
	if !ok {
		return usage(fmt.Errorf("there is no contestant %q in this binary", p.Peer))
	}
	if p.Proto != "" {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return usage(err)
		}
		p.Lis, p.Addr = lis, lis.Addr().String()
	}
	if p.WaitForHandlers {
		p.Opts = append(p.Opts, grpc.WaitForHandlers(true))
	}

	signals := make(chan os.Signal, 1) // starts the goroutine of os/signal, so that it is in the count
	signal.Notify(signals, os.Interrupt)
	signal.Stop(signals)
	go p.answer()
	time.Sleep(time.Millisecond)
	before := runtime.NumGoroutine()

	code := run(p)

	p.emit(Event{Kind: "returned", At: time.Now().UnixNano(), N: code, End: p.lastEnd.Load(), Bound: p.bound.Load()})
	left := runtime.NumGoroutine() - before
	for patience := time.Now().Add(200 * time.Millisecond); left > 0 && time.Now().Before(patience); left = runtime.NumGoroutine() - before {
		time.Sleep(5 * time.Millisecond) // what has been told to end may need a moment
	}
	p.emit(Event{Kind: "left", N: max(left, 0)})
	fmt.Fprintln(os.Stderr, LastLine)
	return code
}

func usage(err error) int {
	fmt.Fprintln(os.Stderr, "bench: child:", err)
	return 2
}

// answer answers the parent's questions for as long as it asks.
func (p *Process) answer() {
	to := json.NewEncoder(os.NewFile(3, "answers"))
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		s := Status{Addr: p.Addr, Running: int(p.running.Load())}
		switch in.Text() {
		case "busy": // eight loops that never yield
			for range 8 {
				go func() {
					for { //nolint:revive,staticcheck // it does nothing for ever
					}
				}()
			}
		case "force":
			if force := p.force.Load(); force != nil {
				(*force)()
			}
		case "memory":
			for range 3 {
				runtime.GC()
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			s.Heap, s.Stack = m.HeapAlloc, m.StackInuse
			s.Goroutines = runtime.NumGoroutine()
		}
		if err := to.Encode(s); err != nil {
			return
		}
	}
}
