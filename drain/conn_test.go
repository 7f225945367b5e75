package drain_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/shutdowntest/faults"
)

// The drain ends what is idle at once, and what is busy after its present request:
// also one of which a single byte has come, and those that came with it.
func TestDrainOfConnections(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		e, p, r := serveEcho(t, usual)
		never, between, slow, half, piped := newClient(p.dial()), newClient(p.dial()), newClient(p.dial()), newClient(p.dial()), newClient(p.dial())
		for _, c := range []*client{never, between, slow, half, piped} {
			later(func() { c.Close() })
		}
		time.Sleep(time.Second) // that is the time of a first byte
		between.ask(t, "a\n")
		slow.send(t, "3 seconds\n")
		half.send(t, "h")
		piped.send(t, "a\nb\nhal")
		synctest.Wait()

		r.trigger()
		start := time.Now()
		for name, c := range map[string]*client{"never used": never, "between two requests": between} {
			if got, at := c.line(), time.Since(start); got != "EOF" || at != 0 {
				t.Errorf("%s: %q after %v, want the end at once", name, got, at)
			}
		}
		half.send(t, "alf\n")
		for _, want := range []string{"half\n", "EOF"} {
			if got, at := half.line(), time.Since(start); got != want || at != 0 {
				t.Errorf("half: %q after %v, want %q at once", got, at, want)
			}
		}
		for _, want := range []string{"3 seconds\n", "EOF"} {
			if got, at := slow.line(), time.Since(start); got != want || at != 3*time.Second {
				t.Errorf("slow: %q after %v, want %q after 3s", got, at, want)
			}
		}
		for _, want := range []string{"a\n", "b\n"} {
			if got := piped.line(); got != want {
				t.Errorf("piped: %q, want %q", got, want)
			}
		}
		time.Sleep(time.Second)
		piped.send(t, "f\n") // after 4 s
		for _, want := range []string{"half\n", "EOF"} {
			if got, at := piped.line(), time.Since(start); got != want || at != 4*time.Second {
				t.Errorf("piped: %q after %v, want %q after 4s", got, at, want)
			}
		}
		got := r.wait(t)
		if r.took != 4*time.Second {
			t.Errorf("Run returned after %v, want 4s: with the last connection", r.took)
		}
		wantOutcome(t, got, report.OutcomeDrained, report.ExitOK)
		wantWork(t, got.Work, lastcall.Work{Name: "lines", Kind: lastcall.WorkConn, Before: 5, Completed: 5})
		wantNotes(t, got)
		if len(e.partial) > 0 {
			t.Errorf("%q were half-read", e.partial)
		}
	})
}

// A user's deadline is that of its reads all the same: in the drain, after an idle
// connection was woken too late, and before.
func TestUserDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g := drain.New()
		r := begin(t, g, usual)
		server, peer := net.Pipe()
		later(func() { peer.Close() })
		c, err := g.Watcher().WatchConn(context.Background(), "c", server)
		if err != nil {
			t.Fatal(err)
		}
		read := func(want error, after time.Duration) {
			t.Helper()
			start := time.Now()
			if n, err := c.Read(make([]byte, 10)); !errors.Is(err, want) || time.Since(start) != after {
				t.Errorf("Read returned %d, %v after %v; want %v after %v", n, err, time.Since(start), want, after)
			}
		}
		set := func(d time.Duration, set func(time.Time) error) {
			t.Helper()
			if err := set(time.Now().Add(d)); err != nil {
				t.Fatal(err)
			}
		}
		set(time.Second, c.SetReadDeadline)
		read(os.ErrDeadlineExceeded, time.Second)
		set(time.Second, c.SetDeadline)
		read(os.ErrDeadlineExceeded, time.Second)
		set(time.Second, c.SetWriteDeadline)
		start := time.Now()
		if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Write returned %v after %v, want a timeout after 1s", err, time.Since(start))
		}
		set(time.Hour, c.SetReadDeadline)
		go put(t, peer, "x")
		read(nil, 0)
		r.trigger()
		synctest.Wait()
		set(time.Second, c.SetReadDeadline)
		read(os.ErrDeadlineExceeded, time.Second) // busy: nothing is different
		if c.Idle() {
			t.Error("Idle says that there may be another request")
		}
		read(io.EOF, 0)
		set(time.Second, c.SetReadDeadline)
		read(io.EOF, 0)
		c.Close()
		c.Close()
		if got := r.wait(t); r.took != time.Second {
			t.Errorf("Run returned after %v\n%v", r.took, got)
		}
	})
}

// lateConn returns from Read with a byte although its deadline has passed: the byte
// was there first.
type lateConn struct {
	net.Conn
	inRead, byteRead chan struct{}
}

func (c *lateConn) Read(b []byte) (int, error) {
	if c.inRead == nil {
		return c.Conn.Read(b)
	}
	in := c.inRead
	c.inRead = nil
	close(in)
	<-c.byteRead
	return copy(b, "x"), nil
}

// A byte that was read in the instant in which the drain began is that of a
// request that is read to its end: the deadline with which the drain has tried to
// wake it is taken back.
func TestByteInTheInstantOfTheDrain(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g := drain.New()
		r := begin(t, g, usual)
		server, peer := net.Pipe()
		later(func() { peer.Close() })
		inside := &lateConn{server, make(chan struct{}), make(chan struct{})}
		in, let := inside.inRead, inside.byteRead
		c, err := g.Watcher().WatchConn(context.Background(), "c", inside)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan string)
		go func() {
			defer c.Close()
			b := make([]byte, 3)
			_, err := io.ReadFull(c, b)
			got <- string(b)
			if err != nil {
				t.Error(err)
			}
			if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
				t.Error(err)
			}
			if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read returned %v, want its user's timeout", err)
			}
		}()
		<-in
		r.trigger()
		synctest.Wait() // the deadline is set
		close(let)
		time.Sleep(time.Second)
		go put(t, peer, "yz")
		if s := <-got; s != "xyz" {
			t.Errorf("read %q, want xyz", s)
		}
		wantOutcome(t, r.wait(t), report.OutcomeDrained, report.ExitOK)
		if r.took != 2*time.Second {
			t.Errorf("Run returned after %v, want 2s", r.took)
		}
	})
}

// A deadline that the user sets when the drain begins does not put the end of an
// idle connection off, neither one that is set later nor one that comes through later.
func TestDeadlineInTheInstantOfTheDrain(t *testing.T) {
	for _, before := range []bool{true, false} {
		bubble(t, func(t *testing.T, later func(func())) {
			g := drain.New()
			r := begin(t, g, usual)
			server, peer := net.Pipe()
			later(func() { peer.Close() })
			inRead, letRead, inSet, letSet := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
			inside := &faults.Conn{Conn: server, Faults: faults.In{faults.Read: faults.Once(func() { close(inRead); <-letRead })}}
			if before {
				inside.Faults[faults.Deadline] = faults.Once(func() { close(inSet); <-letSet })
			}
			c, err := g.Watcher().WatchConn(context.Background(), "c", inside)
			if err != nil {
				t.Fatal(err)
			}
			set := func() {
				if err := c.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
					t.Error(err)
				}
			}
			go func() {
				defer c.Close()
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("Read returned %v", err)
				}
			}()
			<-inRead
			if before {
				go set()
				<-inSet
			}
			time.Sleep(time.Second) // that is the time of a first byte
			r.trigger()
			synctest.Wait()
			if before {
				close(letSet)
			} else {
				set()
			}
			synctest.Wait()
			close(letRead)
			wantOutcome(t, r.wait(t), report.OutcomeDrained, report.ExitOK)
			if r.took != 0 {
				t.Errorf("Run returned after %v, want 0s", r.took)
			}
		})
	}
}

// At the timer reads and writes return, contexts end with the cause, and a handler
// may say goodbye if it sets a deadline.
func TestCancelOfConnections(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g := drain.New()
		r := begin(t, g, usual)
		reader, fromReader := net.Pipe()
		writer, fromWriter := net.Pipe()
		later(func() { fromReader.Close() })
		later(func() { fromWriter.Close() })
		watch := func(inside net.Conn) *drain.Conn {
			c, err := g.Watcher().WatchConn(context.Background(), "c", inside)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		c, d := watch(reader), watch(writer)
		start := time.Now().Add(time.Second)
		go func() {
			defer c.Close()
			b := make([]byte, 1)
			if _, err := c.Read(b); err != nil {
				t.Error(err)
			}
			if _, err := c.Read(b); !errors.Is(err, lastcall.ErrTimer) || time.Since(start) != usualTimer {
				t.Errorf("Read returned %v after %v", err, time.Since(start))
			}
			if cause := context.Cause(c.Context()); !errors.Is(cause, lastcall.ErrTimer) {
				t.Errorf("the context's cause is %v", cause)
			}
			if _, err := c.Write([]byte("too late")); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Write returned %v", err)
			}
			if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
				t.Error(err)
			}
			if _, err := c.Write([]byte("bye\n")); err != nil {
				t.Errorf("Write returned %v", err)
			}
			if _, err := c.Read(b); !errors.Is(err, lastcall.ErrTimer) {
				t.Errorf("Read returned %v", err)
			}
		}()
		go func() {
			defer d.Close()
			if err := d.SetWriteDeadline(time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
			if _, err := d.Write([]byte("nobody reads")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != usualTimer {
				t.Errorf("Write returned %v after %v", err, time.Since(start))
			}
		}()
		put(t, fromReader, "x")
		bye := newClient(fromReader)
		go func() {
			if got := bye.line(); got != "bye\n" {
				t.Errorf("the peer reads %q", got)
			}
		}()
		time.Sleep(time.Second)
		got := r.shutdown(t)
		if r.took != usualTimer {
			t.Errorf("Run returned after %v, want %v", r.took, usualTimer)
		}
		wantOutcome(t, got, report.OutcomeCancelled, report.ExitInterrupted)
		wantWork(t, got.Work, lastcall.Work{Name: "c", Kind: lastcall.WorkConn, Before: 2, Cancelled: 2})
		wantNotes(t, got)
	})
}

// Stop closes the connections of handlers that look at nothing else: peers see the end
// of the stream.
func TestStopOfConnections(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g := drain.New()
		r := begin(t, g, usual)
		server, peer := net.Pipe()
		c, err := g.Watcher().WatchConn(context.Background(), "c", server)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer c.Close()
			for { // a handler that takes no timeout for an answer
				_, err := c.NetConn().Read(make([]byte, 1))
				if errors.Is(err, io.ErrClosedPipe) {
					return
				}
				_ = c.NetConn().SetReadDeadline(time.Time{})
			}
		}()
		r.trigger()
		if got := newClient(peer).line(); got != "EOF" {
			t.Errorf("the peer reads %q", got)
		}
		if at := time.Since(r.asked); at != usualTimer+fullCancel {
			t.Errorf("the connection was closed after %v", at)
		}
		got := r.wait(t)
		if r.took != usualTimer+fullCancel {
			t.Errorf("Run returned after %v", r.took)
		}
		wantOutcome(t, got, report.OutcomeStopped, report.ExitInterrupted)
		wantWork(t, got.Work, lastcall.Work{Name: "c", Kind: lastcall.WorkConn, Before: 1, Cut: 1})
	})
}

// hungClose is when Run returns if a Close hangs: Cancel, Stop, Cut and phase wait take
// what they may.
const (
	stopped   = usualTimer + fullCancel + 2*grace
	hungClose = stopped + (16*time.Second-stopped)/4*2
)

// Connections that hang or panic hold nobody up, beside their own work: that is
// in the report with its name, and the call with its own.
func TestBadConnections(t *testing.T) {
	tests := map[string]struct {
		method  faults.Op
		panics  bool
		over    bool
		took    time.Duration
		outcome report.Outcome
		exit    int
		work    []lastcall.Work
		notes   []string
	}{
		"Close hangs": {
			method: faults.Close, took: hungClose, outcome: report.OutcomeAbandoned, exit: report.ExitAbandoned,
			work: []lastcall.Work{
				{Name: "c", Kind: lastcall.WorkConn, Before: 1, Running: 1},
				{Name: "net.Conn.Close", Kind: lastcall.WorkCall, Running: 1},
			},
		},
		"Close hangs, and Cut reaches what is below": {
			method: faults.Close, over: true, took: stopped, outcome: report.OutcomeCut, exit: report.ExitInterrupted,
			work: []lastcall.Work{{Name: "c", Kind: lastcall.WorkConn, Before: 1, Cancelled: 1}},
		},
		"Close panics": {
			method: faults.Close, panics: true, outcome: report.OutcomeDrained, exit: report.ExitOK,
			work:  []lastcall.Work{{Name: "c", Kind: lastcall.WorkConn, Before: 1, Completed: 1}},
			notes: []string{"net.Conn.Close panicked: no Close"},
		},
		"SetReadDeadline hangs": {
			method: faults.Deadline, took: usualTimer + fullCancel + grace, outcome: report.OutcomeStopped, exit: report.ExitInterrupted,
			work: []lastcall.Work{
				{Name: "c", Kind: lastcall.WorkConn, Before: 1, Cut: 1},
				{Name: "net.Conn.SetDeadline", Kind: lastcall.WorkCall, Running: 2},
			},
		},
		"SetReadDeadline panics": {
			method: faults.Deadline, panics: true, took: usualTimer + fullCancel, outcome: report.OutcomeStopped, exit: report.ExitInterrupted,
			work:  []lastcall.Work{{Name: "c", Kind: lastcall.WorkConn, Before: 1, Cut: 1}},
			notes: []string{"net.Conn.SetDeadline failed: drain: setting a deadline panicked: no Deadline", "net.Conn.SetDeadline failed: drain: setting a deadline panicked: no Deadline", "net.Conn.SetDeadline failed: drain: setting a deadline panicked: no Deadline"},
		},
		"RemoteAddr panics": {
			method: faults.RemoteAddr, panics: true, outcome: report.OutcomeDrained, exit: report.ExitOK,
			work: []lastcall.Work{{Name: "c", Kind: lastcall.WorkConn, Before: 1, Completed: 1}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, later func(func())) {
				let := make(chan struct{})
				later(func() { close(let) })
				g := drain.New()
				r := begin(t, g, usual)
				server, peer := net.Pipe()
				later(func() { peer.Close() })
				gone := make(chan struct{})
				fault := faults.Panic("no " + string(tt.method))
				if !tt.panics {
					fault = func() {
						select {
						case <-let:
						case <-gone:
						}
					}
				}
				bad := faults.Over(server, faults.In{tt.method: fault})
				var inside net.Conn = &bad.Conn
				if tt.over {
					bad.Conn.Conn = &faults.Conn{Conn: server, Faults: faults.In{faults.Close: faults.Once(func() { close(gone) })}}
					inside = bad
				}
				c, err := g.Watcher().WatchConn(context.Background(), "c", inside)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					defer c.Close()
					b := make([]byte, 1)
					for range 2 {
						if _, err := c.Read(b); err != nil {
							return
						}
						c.Idle()
					}
				}()
				put(t, peer, "x")
				synctest.Wait()
				got := r.shutdown(t)
				if r.took != tt.took {
					t.Errorf("Run returned after %v, want %v", r.took, tt.took)
				}
				wantOutcome(t, got, tt.outcome, tt.exit)
				wantWork(t, got.Work, tt.work...)
				wantNotes(t, got, tt.notes...)
			})
		})
	}
}

// A server may read on one goroutine and answer on another: the one that reads is
// woken when the last answer is given in the drain.
func TestReaderBesideHandler(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g := drain.New()
		r := begin(t, g, usual)
		server, peer := net.Pipe()
		later(func() { peer.Close() })
		c, err := g.Watcher().WatchConn(context.Background(), "c", server)
		if err != nil {
			t.Fatal(err)
		}
		requests := make(chan string)
		go func() {
			defer c.Close()
			defer close(requests)
			b := make([]byte, 100)
			for {
				n, err := c.Read(b)
				if err != nil {
					if !errors.Is(err, io.EOF) {
						t.Errorf("Read returned %v", err)
					}
					return
				}
				requests <- string(b[:n])
			}
		}()
		go func() {
			for line := range requests {
				time.Sleep(3 * time.Second)
				if _, err := io.Copy(c, strings.NewReader(line)); err != nil {
					t.Error(err)
				}
				c.Idle()
			}
		}()
		cl := newClient(peer)
		cl.ask(t, "a\n")
		synctest.Wait() // or b might come before Idle
		cl.send(t, "b\n")
		synctest.Wait()
		if work := g.InFlight(); len(work) != 1 || work[0].Peer != "pipe" {
			t.Errorf("in flight: %+v", work)
		}
		r.trigger()
		for _, want := range []string{"b\n", "EOF"} {
			if got := cl.line(); got != want {
				t.Errorf("the peer reads %q, want %q", got, want)
			}
		}
		wantOutcome(t, r.wait(t), report.OutcomeDrained, report.ExitOK)
		if r.took != 3*time.Second {
			t.Errorf("Run returned after %v, want 3s", r.took)
		}
	})
}
