package lastcall_test

import (
	"context"
	"errors"
	"fmt"
	"github.com/lastcall-go/lastcall/controller"
	"runtime"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall"

	"github.com/lastcall-go/lastcall/controller"
)

// conduct is how a piece of foreign code behaves when it is called.
type conduct struct {
	manner   manner
	after    time.Duration // how long it takes to do so
	callback callback      // what it calls of the controller first
}

type manner int

const (
	returns manner = iota
	fails
	panics
	goexits
	hangs   // until the test is over
	obeys   // returns when its context ends, or after its time
	yields  // a GracefulStop that returns when Stop or Cancel was called; a Serve that returns when the server was stopped
	badText // fails with an error whose Error method hangs
	waits   // returns when its context has ended, not before
)

type callback int

const (
	callNothing callback = iota
	callShutdown
	callForce
	callReaders
	callWait
	callRunAdd
)

func (m manner) String() string {
	return [...]string{"returns", "fails", "panics", "goexits", "hangs", "obeys", "yields", "badText", "waits"}[m]
}

func (c conduct) String() string {
	return fmt.Sprintf("%v after %v, calling %d", c.manner, c.after, c.callback)
}

// note is one thing that foreign code did, as it saw it itself.
type note struct {
	at   time.Time
	who  string // "gs a", "close db"
	what string // "begin", "return", "panic", "goexit"
}

// world is the foreign code of one run, and what it noted.
type world struct {
	release chan struct{} // closed when the test is over: everything that hangs comes back
	ctl     *controller.Controller

	mu       sync.Mutex
	notes    []note
	asked    []*question
	triggers []time.Time // when anything asked for a shutdown
	forces   []time.Time // when anything asked for force
	signals  int
}

// question is a call that the controller makes to learn something.
type question struct {
	who   string
	begin time.Time
	back  time.Time // when it returned, panicked or exited; zero before
	value any       // what it returned; nil if it did not
}

// isBack says whether it had come back before an instant, or in it.
func (q *question) isBack(at time.Time) bool { return !q.back.IsZero() && !q.back.After(at) }

// answer does what the conduct says, and then returns the value that the function
// gives for the nth question of this kind.
func (w *world) answer(who string, c conduct, value func(n int) any) any {
	q := &question{who: who, begin: time.Now()}
	w.mu.Lock()
	n := 0
	for _, other := range w.asked {
		if other.who == who {
			n++
		}
	}
	w.asked = append(w.asked, q)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		q.back = time.Now()
	}()
	_ = w.act(context.Background(), who, c)
	got := value(n)
	w.mu.Lock()
	defer w.mu.Unlock()
	q.value = got
	return got
}

// questions returns those of one kind, in the order in which they were asked.
func (w *world) questions(who string) []*question {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*question
	for _, q := range w.asked {
		if q.who == who {
			all = append(all, q)
		}
	}
	return all
}

func newWorld() *world { return &world{release: make(chan struct{})} }

func (w *world) note(who, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, note{time.Now(), who, what})
}

// find returns the notes of one caller and kind.
func (w *world) find(who, what string) []note {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []note
	for _, n := range w.notes {
		if n.who == who && n.what == what {
			found = append(found, n)
		}
	}
	return found
}

// at returns when somebody first did something, or false.
func (w *world) at(who, what string) (time.Time, bool) {
	if found := w.find(who, what); len(found) > 0 {
		return found[0].at, true
	}
	return time.Time{}, false
}

func (w *world) triggered(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.triggers = append(w.triggers, at)
}

func (w *world) shutdown(cause error) {
	w.triggered(time.Now())
	w.ctl.Shutdown(cause)
}

func (w *world) fail(cause error) {
	w.triggered(time.Now())
	w.ctl.Fail(cause)
}

func (w *world) force() {
	now := time.Now()
	w.triggered(now)
	w.mu.Lock()
	w.forces = append(w.forces, now)
	w.mu.Unlock()
	w.ctl.Force()
}

// signalled counts a signal that was sent: the first triggers, the second forces.
func (w *world) signalled() {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.signals++
	switch w.signals {
	case 1:
		w.triggers = append(w.triggers, now)
	case 2:
		w.forces = append(w.forces, now)
	}
}

var errConduct = errors.New("failed as drawn")

// hostileError is an error whose text never comes.
type hostileError struct{ w *world }

func (e *hostileError) Error() string {
	<-e.w.release
	return "at last"
}

// act does what the conduct says, and notes it under a name. The more channels
// end a wait of manner yields.
func (w *world) act(ctx context.Context, who string, c conduct, more ...<-chan struct{}) error {
	w.note(who, "begin")
	end := "goexit"
	defer func() {
		if v := recover(); v != nil {
			w.note(who, "panic")
			panic(v)
		}
		w.note(who, end)
	}()
	w.call(c.callback)
	if c.after > 0 && c.manner != hangs {
		timer := time.NewTimer(c.after)
		defer timer.Stop()
		var ended <-chan struct{}
		if c.manner == obeys {
			ended = ctx.Done()
		}
		select {
		case <-timer.C:
		case <-ended:
		case <-w.release:
		}
	}
	switch c.manner {
	case fails:
		end = "return"
		return errConduct
	case badText:
		end = "return"
		return &hostileError{w}
	case panics:
		panic("as drawn")
	case goexits:
		runtime.Goexit()
	case hangs:
		<-w.release
	case yields:
		w.anyOf(more)
	case waits:
		w.anyOf([]<-chan struct{}{ctx.Done()})
	case obeys:
		if ctx.Err() != nil {
			end = "return"
			return context.Cause(ctx)
		}
	}
	end = "return"
	return nil
}

// anyOf waits until one of at most three channels is closed, or the test is over.
func (w *world) anyOf(chs []<-chan struct{}) {
	var three [3]<-chan struct{}
	copy(three[:], chs)
	select {
	case <-three[0]:
	case <-three[1]:
	case <-three[2]:
	case <-w.release:
	}
}

// call calls back into the controller, which must never block.
func (w *world) call(c callback) {
	switch c {
	case callShutdown:
		w.shutdown(errors.New("called back"))
	case callForce:
		w.force()
	case callReaders:
		_, _, _ = w.ctl.State(), w.ctl.Phase(), w.ctl.Ready()
	case callWait:
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_, _ = w.ctl.Wait(ctx)
	case callRunAdd:
		_ = w.ctl.Run(context.Background())
		_ = w.ctl.Add()
	}
}

// fakeServer is a server of which each method behaves as drawn. It is given to
// the controller as it is, or as a bareServer.
type fakeServer struct {
	w           *world
	name        string
	graceful    conduct
	stop        conduct
	serve       conduct // yields: until stopped; anything else: by itself
	announce    conduct
	cancel      conduct
	cut         conduct
	connections int // how many Cut says that it has closed
	attach      conduct
	inFlight    conduct
	notes       conduct
	arrival     conduct // of LastArrival, but for the call from WithServer
	made        time.Time
	arrivals    []time.Time // when work came, or is going to
	elsewhere   bool        // Serve says that somebody else serves

	once      [3]sync.Once
	drained   chan struct{} // GracefulStop has returned
	stopped   chan struct{} // Stop was called
	cancelled chan struct{} // Cancel was called
}

func newFakeServer(w *world, name string) *fakeServer {
	return &fakeServer{w: w, name: name, made: time.Now(), drained: make(chan struct{}), stopped: make(chan struct{}), cancelled: make(chan struct{})}
}

func (s *fakeServer) Attach(lastcall.Life) {
	_ = s.w.act(context.Background(), "attach "+s.name, s.attach)
}

func (s *fakeServer) Serve() error {
	if s.elsewhere {
		return lastcall.ErrServedElsewhere
	}
	return s.w.act(context.Background(), "serve "+s.name, s.serve, s.drained, s.stopped)
}

func (s *fakeServer) Announce(ctx context.Context) error {
	return s.w.act(ctx, "announce "+s.name, s.announce)
}

func (s *fakeServer) GracefulStop() {
	_ = s.w.act(context.Background(), "gs "+s.name, s.graceful, s.stopped, s.cancelled)
	s.once[0].Do(func() { close(s.drained) })
}

func (s *fakeServer) Stop() {
	defer s.once[1].Do(func() { close(s.stopped) })
	_ = s.w.act(context.Background(), "stop "+s.name, s.stop)
}

func (s *fakeServer) Cancel(ctx context.Context, cause error) {
	defer s.once[2].Do(func() { close(s.cancelled) })
	if _, known := lastcall.TimerAt(ctx); !known || ctx.Value(valueKey{}) != "value" || !errors.Is(cause, lastcall.ErrTimer) {
		s.w.note("cancel "+s.name, "wrong context or cause")
	}
	_ = s.w.act(ctx, "cancel "+s.name, s.cancel)
}

// InFlight returns numbers that tell one call from another.
func (s *fakeServer) InFlight() []lastcall.Work {
	got := s.w.answer("inflight "+s.name, s.inFlight, func(n int) any {
		return []lastcall.Work{
			{Server: "somebody else", Name: "/s/" + s.name, Kind: lastcall.WorkUnary, Completed: n, Running: n, Oldest: s.made, Peer: "p"},
			{Name: "/t/" + s.name, Kind: lastcall.WorkStream, Cancelled: n},
		}
	})
	return got.([]lastcall.Work)
}

func (s *fakeServer) Notes() []string {
	got := s.w.answer("notes "+s.name, s.notes, func(int) any { return []string{"one of " + s.name, "two"} })
	return got.([]string)
}

func (s *fakeServer) LastArrival() time.Time {
	if s.w.ctl == nil { // WithServer asks
		return s.made
	}
	got := s.w.answer("arrival "+s.name, s.arrival, func(int) any {
		latest := s.made
		for _, at := range s.arrivals {
			if !at.After(time.Now()) {
				latest = later(latest, at)
			}
		}
		return latest
	})
	return got.(time.Time)
}

func (s *fakeServer) Cut() int {
	_ = s.w.act(context.Background(), "cut "+s.name, s.cut)
	return s.connections
}

// bareServer hides all but the two methods that every server has.
type bareServer struct{ s *fakeServer }

func (b *bareServer) GracefulStop() { b.s.GracefulStop() }
func (b *bareServer) Stop()         { b.s.Stop() }

// arrivingServer hides all but LastArrival and these two.
type arrivingServer struct {
	bareServer
	controller.Arrivals
}

// fakeWriter is the log's writer: from its nth write on it behaves as drawn.
type fakeWriter struct {
	w     *world
	n     int
	count int
	how   conduct
}

func (f *fakeWriter) Write(p []byte) (int, error) {
	f.count++
	if f.count >= f.n {
		if err := f.w.act(context.Background(), "write", f.how); err != nil {
			return 0, err
		}
	}
	f.w.note("log", string(p))
	return len(p), nil
}
