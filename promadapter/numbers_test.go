package promadapter_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"pgregory.net/rapid"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/grpcadapter"
	"github.com/lastcall-go/lastcall/internal/mempipe"
	"github.com/lastcall-go/lastcall/promadapter"
	"github.com/lastcall-go/lastcall/report"
)

// piece is an RPC or, of kind task, a piece of work in the background.
type piece struct {
	kind           string
	starts, length time.Duration
	deaf           bool // it does not end with its context, and not before Run does
}

// plan is a shutdown in which all of that happens.
type plan struct {
	pieces  []piece
	trigger time.Duration
	budget  lastcall.Budget
	every   time.Duration // between two scrapes
	force   bool
}

func draw(t *rapid.T) plan {
	span := func(name string, most time.Duration) time.Duration {
		return time.Duration(rapid.Int64Range(0, int64(most/time.Millisecond)).Draw(t, name)) * time.Millisecond
	}
	p := plan{
		trigger: span("trigger", 10*time.Second),
		budget:  lastcall.Budget{Total: 20 * time.Second, Settle: span("settle", 3*time.Second), Reserve: 6 * time.Second},
		every:   50*time.Millisecond + span("every", 2*time.Second),
		force:   rapid.Bool().Draw(t, "force"),
	}
	kinds := append(slices.Sorted(maps.Keys(kinds())), "task")
	for range rapid.IntRange(0, 12).Draw(t, "pieces") {
		p.pieces = append(p.pieces, piece{
			kind: rapid.SampledFrom(kinds).Draw(t, "kind"), starts: span("starts", 20*time.Second),
			length: span("for", 20*time.Second), deaf: rapid.IntRange(0, 5).Draw(t, "deaf") == 0,
		})
	}
	return p
}

// seen is what handlers and clients have seen, by the type of the work.
type seen struct{ begun, answered, deaf counts }

type counts struct {
	mu  sync.Mutex
	all map[string]float64
}

func (c *counts) add(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[string]float64{}
	}
	c.all[kind]++
}

func (c *counts) of(kind string) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[kind]
}

// run makes a plan come true, and returns the last scrape.
func (p plan) run(t rapid.TB, s *seen) (last series, r report.Report) {
	over := make(chan struct{})
	handle := func(ctx context.Context, one piece) error {
		s.begun.add(one.kind)
		if one.deaf {
			s.deaf.add(one.kind)
			<-over
			return nil
		}
		select {
		case <-time.After(one.length):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	lis := mempipe.Listen(1 << 16)
	g, background := grpcadapter.New(lis, grpcadapter.WithUnaryContexts()), drain.New()
	testgrpc.RegisterTestServiceServer(g.NewServer(), &service{handle: func(ctx context.Context) error {
		number, err := strconv.Atoi(strings.Join(metadata.ValueFromIncomingContext(ctx, "piece"), ""))
		if err != nil {
			return err
		}
		return handle(ctx, p.pieces[number])
	}})

	m := promadapter.New()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(m)
	var flushed series
	ctl, err := controller.New(p.budget, m.Option(), controller.WithSignals(),
		controller.WithServer("grpc", g), controller.WithServer("background", background),
		controller.WithFlusher("last scrape", m.LastScrape(time.Second)),
		controller.WithFlusher("scrape", func() { flushed = gather(t, reg) }))
	if err != nil {
		t.Fatal(err)
	}
	client, conn := dial(t, lis)
	var running sync.WaitGroup
	run := make(chan report.Report, 1)
	go func() { run <- ctl.Run(context.Background()) }()
	<-ctl.Serving()

	for i, one := range p.pieces {
		running.Go(func() {
			time.Sleep(one.starts)
			if one.kind == "task" {
				_ = background.Watcher().Go(context.Background(), "mail", func(ctx context.Context) { _ = handle(ctx, one) }) // an error: it is too late
				return
			}
			ctx := metadata.AppendToOutgoingContext(context.Background(), "piece", strconv.Itoa(i))
			if kinds()[one.kind](ctx, client) == nil {
				s.answered.add(one.kind)
			}
		})
	}
	running.Go(func() {
		before := series{}
		for {
			select {
			case <-ctl.Done():
				return
			case <-time.After(p.every):
			}
			now := gather(t, reg)
			now.addsUp(t)
			now.grewFrom(t, before)
			before = now
		}
	})
	running.Go(func() {
		time.Sleep(p.trigger)
		ctl.Shutdown(errors.New("asked for"))
		if p.force {
			time.Sleep(p.budget.Settle / 2)
			ctl.Force()
		}
	})
	r = <-run
	last = gather(t, reg)
	last.addsUp(t)
	last.grewFrom(t, flushed)
	flushed.addsUp(t)
	close(over)
	conn.Close()
	running.Wait()
	return last, r
}

// grewFrom checks that no counter went down.
func (s series) grewFrom(t rapid.TB, before series) {
	t.Helper()
	for name, old := range before {
		metric, _, _ := strings.Cut(name, "{")
		if now, there := s[name]; strings.HasSuffix(metric, "_total") && (!there || now < old) {
			t.Errorf("%s was %v, and is %v", name, old, now)
		}
	}
}

// At every scrape, in service and in the shutdown, what has begun has ended or is in
// flight; in the end it is completed, cancelled, cut or abandoned, as the report says and
// as the handlers have seen it.
func TestPropertyNumbersAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := draw(t)
		rapid.SyncTest(t, func(t *rapid.T) {
			var s seen
			last, r := p.run(t, &s)
			for _, server := range []string{"grpc", "background"} {
				label := `server="` + server + `"`
				var want lastcall.Work
				for _, w := range r.Work {
					if w.Server == server && w.Kind != lastcall.WorkCall {
						want.Completed += w.Served + w.Completed
						want.Cancelled += w.Cancelled
						want.Cut += w.Cut
						want.Running += w.Running
					}
				}
				for outcome, n := range map[string]int{"completed": want.Completed, "cancelled": want.Cancelled, "cut": want.Cut, "abandoned": want.Running} {
					if got := last.sum("work_ended_total", label, `outcome="`+outcome+`"`); got != float64(n) {
						t.Errorf("%s: %v %s, but the report has %d\n%v", server, got, outcome, n, r)
					}
				}
				if n := last.sum("work_in_flight", label); n != 0 {
					t.Errorf("%s: %v in flight in the end", server, n)
				}
			}
			for _, kind := range append(slices.Sorted(maps.Keys(kinds())), "task") { // each has one method
				ended := func(outcome string) float64 {
					return last.sum("work_ended_total", `type="`+kind+`"`, `outcome="`+outcome+`"`)
				}
				completed, cancelled, cut, abandoned := ended("completed"), ended("cancelled"), ended("cut"), ended("abandoned")
				begun, handlers := completed+cancelled+cut+abandoned, s.begun.of(kind)
				if begun < handlers || begun-cancelled > handlers { // what is refused has no handler, and counts as cancelled
					t.Errorf("%s: %v completed, %v cancelled or refused, %v cut, %v abandoned; %v handlers ran", kind, completed, cancelled, cut, abandoned, handlers)
				}
				if completed < s.answered.of(kind) {
					t.Errorf("%s: %v completed, but %v clients have an answer", kind, completed, s.answered.of(kind))
				}
				if abandoned != s.deaf.of(kind) {
					t.Errorf("%s: %v abandoned, but %v were deaf", kind, abandoned, s.deaf.of(kind))
				}
			}
		})
	})
}
