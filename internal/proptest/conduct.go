package proptest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"pgregory.net/rapid"
)

// unit is the grid on which times are drawn, so that ties come often.
const unit = 100 * time.Millisecond

// offGrid is added to some of these times, so that they tie with nothing.
const offGrid = 97_001 * time.Nanosecond

// conduct is how a piece of user code behaves when it is called.
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

func (c callback) String() string {
	return [...]string{"", " calling Shutdown", " calling Force", " calling readers", " calling Wait", " calling Run and Add"}[c]
}

func (c conduct) String() string { return fmt.Sprintf("%v after %v%v", c.manner, c.after, c.callback) }

func drawTime(t *rapid.T, label string, limit time.Duration) time.Duration {
	return unit * time.Duration(rapid.IntRange(0, int(limit/unit)).Draw(t, label))
}

// drawBudget draws one without Quiet.
func drawBudget(t *rapid.T) Budget {
	total := rapid.IntRange(2, 60).Draw(t, "total")
	reserve := rapid.IntRange(1, total-1).Draw(t, "reserve")
	settle := 0
	if rapid.Bool().Draw(t, "settles") {
		settle = rapid.IntRange(0, total-reserve-1).Draw(t, "settle")
	}
	return Budget{Total: unit * time.Duration(total), Settle: unit * time.Duration(settle), Reserve: unit * time.Duration(reserve)}
}

// drawQuiet draws the rest.
func drawQuiet(t *rapid.T, b *Budget) {
	if settle := int(b.Settle / unit); settle > 0 && rapid.Bool().Draw(t, "is quiet") {
		b.Quiet = unit * time.Duration(rapid.IntRange(1, settle).Draw(t, "quiet"))
		if rapid.Bool().Draw(t, "settles at least") {
			b.MinSettle = unit * time.Duration(rapid.IntRange(1, settle).Draw(t, "min settle"))
		}
	}
}

// drawConduct draws mostly what is harmless: two adversaries hide each other.
func drawConduct(t *rapid.T, label string, limit time.Duration, usual manner, others ...manner) conduct {
	c := conduct{manner: usual}
	if rapid.IntRange(0, 3).Draw(t, label+" is odd") == 0 {
		c.manner = rapid.SampledFrom(others).Draw(t, label)
	}
	if rapid.Bool().Draw(t, label+" takes time") {
		c.after = drawTime(t, label+" time", limit)
		if rapid.Bool().Draw(t, label+" time is off the grid") {
			c.after += offGrid
		}
	}
	if rapid.IntRange(0, 7).Draw(t, label+" calls back") == 0 {
		c.callback = callback(rapid.IntRange(int(callShutdown), int(callRunAdd)).Draw(t, label+" callback"))
	}
	return c
}

var (
	errConduct = errors.New("failed as drawn")
	errAsked   = errors.New("asked for")
)

// actor is the part of a world that knows the controller, asks it for a shutdown, and may
// hang.
type actor struct {
	log     *Log
	made    time.Time
	ctl     *Controller // nil until Begin
	signals chan os.Signal
	release chan struct{} // closed by End: everything that hangs comes back
	once    sync.Once
	cancel  context.CancelFunc
}

func newActor(signals int) *actor {
	return &actor{log: new(Log), made: time.Now(), signals: make(chan os.Signal, signals), release: make(chan struct{})}
}

// Log returns what the world has noted.
func (a *actor) Log() *Log { return a.log }

// Signals returns where the world's signals come from.
func (a *actor) Signals() <-chan os.Signal { return a.signals }

// End lets go everything that hangs.
func (a *actor) End() {
	a.once.Do(func() { close(a.release) })
	if a.cancel != nil {
		a.cancel()
	}
}

// begin has those who ask for a shutdown do so in time, and returns Run's context.
func (a *actor) begin(ctl *Controller, asks []askPlan) context.Context {
	a.ctl = ctl
	a.log.do(func() { a.log.turns = a.log.seq })
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), valueKey{}, "value"))
	a.cancel = cancel
	for _, p := range asks {
		time.AfterFunc(p.At, func() { a.ask(p.What, p.To) })
	}
	return ctx
}

// hostileError is an error whose text never comes.
type hostileError struct{ a *actor }

func (e *hostileError) Error() string {
	_ = e.a.log.call(context.Background(), opText, "cause", func(*Span) error {
		<-e.a.release
		return nil
	})
	return "at last"
}

// act does what the conduct says. The more channels end a wait of manner yields.
func (a *actor) act(ctx context.Context, c conduct, more ...<-chan struct{}) error {
	a.callBack(c.callback)
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
		case <-a.release:
		}
	}
	switch c.manner {
	case fails:
		return errConduct
	case badText:
		return &hostileError{a}
	case panics:
		panic("as drawn")
	case goexits:
		runtime.Goexit()
	case hangs:
		<-a.release
	case yields:
		a.anyOf(more...)
	case waits:
		a.anyOf(ctx.Done())
	case obeys:
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// anyOf waits until one of at most two channels is closed, or the test is over.
func (a *actor) anyOf(chs ...<-chan struct{}) {
	var two [2]<-chan struct{}
	copy(two[:], chs)
	select {
	case <-two[0]:
	case <-two[1]:
	case <-a.release:
	}
}

// ask asks for a shutdown, or for haste.
func (a *actor) ask(what string, to time.Duration) {
	a.log.ask(what, to)
	switch what {
	case "shutdown":
		a.ctl.Shutdown(errAsked)
	case "hostile":
		a.ctl.Shutdown(&hostileError{a})
	case "fail":
		a.ctl.Fail(errAsked)
	case "force":
		a.ctl.Force()
	case "signal":
		a.signals <- syscall.SIGTERM
	case "interrupt":
		a.signals <- os.Interrupt
	case "shorten":
		a.ctl.Shorten(time.Now().Add(to), "as drawn")
	case "context":
		a.cancel()
	}
}

// callBack calls the controller, which must not block.
func (a *actor) callBack(c callback) {
	began := time.Now()
	switch c {
	case callShutdown:
		a.ask("shutdown", 0)
	case callForce:
		a.ask("force", 0)
	case callReaders:
		_, _, _ = a.ctl.State(), a.ctl.Phase(), a.ctl.Ready()
	case callWait:
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_, _ = a.ctl.Wait(ctx)
		return
	case callRunAdd:
		_ = a.ctl.Run(context.Background())
		_ = a.ctl.Add()
	}
	if took := time.Since(began); took > 0 {
		a.log.blame("G7: a method of the controller blocked for %v (%v)", took, c)
	}
}
