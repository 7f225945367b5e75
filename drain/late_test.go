package drain_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
)

// Work knows how long after the trigger it came.
func TestLate(t *testing.T) {
	bubble(t, func(t *testing.T, _ func(func())) {
		g := drain.New()
		l := begin(t, g, lastcall.Budget{Total: 10 * time.Second, Settle: 4 * time.Second, Reserve: 2 * time.Second})
		early, err := g.Watcher().Watch(context.Background(), "early")
		if err != nil {
			t.Fatal(err)
		}
		l.trigger()
		time.Sleep(2 * time.Second)
		late, err := g.Watcher().Watch(early.Context(), "late")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if after, share, ok := lastcall.Late(early.Context()); ok {
			t.Errorf("what came before is late by %v, %v", after, share)
		}
		if after, share, ok := lastcall.Late(late.Context()); !ok || after != 2*time.Second || share != 0.2 {
			t.Errorf("what came after 2 s is late by %v, %v, %v", after, share, ok)
		}
		early.Done()
		late.Done()
		l.wait(t)
	})
}

// A client that has just connected gets its first request answered in the drain: a second
// after it was accepted, or half of the time to the timer, is its time for the first byte.
// After that the connection is as any other.
func TestFirstByteInTheDrain(t *testing.T) {
	short := lastcall.Budget{Total: 7 * time.Second, Reserve: 6 * time.Second}
	for name, tt := range map[string]struct {
		budget      lastcall.Budget
		before, end time.Duration
	}{
		"accepted in the instant of the drain": {usual, 0, time.Second},
		"a while before":                       {usual, 300 * time.Millisecond, 700 * time.Millisecond},
		"long before":                          {usual, time.Second, 0},
		"the timer is near":                    {short, 0, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, later func(func())) {
				_, p, r := serveEcho(t, tt.budget)
				clients := map[string]*client{"silent": newClient(p.dial()), "speaks": newClient(p.dial()), "slow": newClient(p.dial())}
				for _, c := range clients {
					later(func() { c.Close() })
				}
				time.Sleep(tt.before)
				synctest.Wait()
				r.trigger()
				start := time.Now()
				if tt.end > 0 {
					time.Sleep(tt.end - time.Millisecond)
					clients["slow"].send(t, "h")
					clients["speaks"].ask(t, "a\n")
					for _, c := range []string{"speaks", "silent"} {
						want := tt.end
						if c == "speaks" { // it is between two requests now
							want -= time.Millisecond
						}
						if got, at := clients[c].line(), time.Since(start); got != "EOF" || at != want {
							t.Errorf("%s: %q after %v, want the end after %v", c, got, at, want)
						}
					}
					time.Sleep(10 * time.Millisecond)
					clients["slow"].send(t, "alf\n")
					if got := clients["slow"].line(); got != "half\n" {
						t.Errorf("slow: %q", got)
					}
				}
				for name, c := range clients {
					if got := c.line(); got != "EOF" {
						t.Errorf("%s: %q, want the end", name, got)
					}
				}
				wantOutcome(t, r.wait(t), report.OutcomeDrained, report.ExitOK)
				if want := tt.end + 10*time.Millisecond; r.took > want || tt.end == 0 && r.took > 0 {
					t.Errorf("Run returned after %v, want at most %v", r.took, want)
				}
			})
		})
	}
}

// A connection that Accept has returned when the drain begins is taken in, also if the accept
// loop has it watched only a moment later, and others that it has dialled were watched before.
func TestAcceptedAsTheDrainBegins(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g, p := drain.New(), newPipes()
		lis := g.Listen(p)
		dialled, _ := net.Pipe()
		if c, err := g.Watcher().WatchConn(context.Background(), "dialled", dialled); err != nil || c.Close() != nil {
			t.Fatal(err)
		}
		r := beginWith(t, usual, controller.WithServer("g", g, controller.Serving(func() error {
			inside, err := lis.Accept()
			if err != nil {
				return err
			}
			time.Sleep(50 * time.Millisecond)
			c, err := g.Watcher().WatchConn(context.Background(), "c", inside)
			if err != nil {
				t.Errorf("WatchConn: %v", err)
				return inside.Close()
			}
			defer c.Close()
			_, _ = io.CopyN(c, c, 1)
			_, err = lis.Accept()
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept: %v", err)
			}
			return nil
		}, nil)))
		c := newClient(p.dial())
		later(func() { c.Close() })
		synctest.Wait() // Accept has returned
		r.trigger()
		time.Sleep(60 * time.Millisecond)
		c.send(t, "a")
		if b, err := io.ReadAll(c); string(b) != "a" || err != nil {
			t.Errorf("the client reads %q, %v", b, err)
		}
		wantOutcome(t, r.wait(t), report.OutcomeDrained, report.ExitOK)
	})
}

// What Accept has returned, and nothing watches, does not hold the drain for long.
func TestAcceptedAndNotWatched(t *testing.T) {
	bubble(t, func(t *testing.T, later func(func())) {
		g, p := drain.New(), newPipes()
		lis := g.Listen(p)
		accepted := make(chan net.Conn, 1)
		r := beginWith(t, usual, controller.WithServer("g", g, controller.Serving(func() error {
			c, err := lis.Accept()
			if err != nil {
				return err
			}
			accepted <- c
			_, _ = lis.Accept()
			return nil
		}, nil)))
		c := p.dial()
		later(func() { c.Close() })
		served := <-accepted
		later(func() { served.Close() })
		r.trigger()
		if got := r.wait(t); got.Outcome != report.OutcomeDrained || r.took > 100*time.Millisecond {
			t.Errorf("after %v\n%v", r.took, got)
		}
	})
}
