package controller_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/report"

	"github.com/rs/zerolog"

	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/fsm"
)

// arriving is a server that knows when work last came.
type arriving struct {
	*server
	lastcall.Unimplemented
	asked atomic.Int32
	last  func() time.Time
}

func (a *arriving) LastArrival() time.Time {
	if a.asked.Add(1) == 1 || a.last == nil { // WithServer, for the first
		return a.d.start
	}
	return a.last()
}

// arrivals returns a LastArrival for work that comes at these times after the
// diary was opened.
func arrivals(d *diary, after ...time.Duration) func() time.Time {
	return func() time.Time {
		last := d.start
		for _, a := range after {
			if at := d.start.Add(a); !at.After(time.Now()) {
				last = at
			}
		}
		return last
	}
}

// enteredAt returns when the machine entered a state.
func enteredAt(t *testing.T, r report.Report, state fsm.State) time.Time {
	t.Helper()
	for _, s := range r.Steps {
		if s.Kind == report.KindTransition && s.State == state {
			return s.Start
		}
	}
	t.Fatalf("%v was never entered\n%v", state, r)
	return time.Time{}
}

var quietBudget = lastcall.Budget{Total: 10 * time.Second, Settle: 2 * time.Second, Quiet: 500 * time.Millisecond, Reserve: 4 * time.Second}

// G4: settle ends when no work has come for Quiet, and nothing polls for that. What
// does not answer, or cannot, never lets it end early.
func TestG4_QuietEndsSettle(t *testing.T) {
	const ms = time.Millisecond
	at := func(after time.Duration) time.Duration { return time.Minute + after }
	busy := []time.Duration{}
	for i := range 100 {
		busy = append(busy, at(time.Duration(i)*100*ms+ms))
	}
	tests := map[string]struct {
		last      func(d *diary, hang func()) func() time.Time
		want      time.Duration // the length of settle
		questions int
		failure   report.Result
	}{
		"nothing comes":      {func(d *diary, _ func()) func() time.Time { return arrivals(d) }, 500 * ms, 1, 0},
		"long before":        {func(d *diary, _ func()) func() time.Time { return arrivals(d, at(-100*ms)) }, 500 * ms, 1, 0},
		"one comes":          {func(d *diary, _ func()) func() time.Time { return arrivals(d, at(300*ms)) }, 800 * ms, 2, 0},
		"a few come":         {func(d *diary, _ func()) func() time.Time { return arrivals(d, at(300*ms), at(400*ms), at(800*ms)) }, 1300 * ms, 3, 0},
		"one comes too late": {func(d *diary, _ func()) func() time.Time { return arrivals(d, at(501*ms)) }, 500 * ms, 1, 0},
		"always busy":        {func(d *diary, _ func()) func() time.Time { return arrivals(d, busy...) }, 2 * time.Second, 4, 0},
		"busy to the end": {func(d *diary, _ func()) func() time.Time {
			return arrivals(d, at(450*ms), at(900*ms), at(1350*ms), at(1800*ms))
		}, 2 * time.Second, 4, 0},
		"hangs":         {func(_ *diary, hang func()) func() time.Time { return func() time.Time { hang(); return time.Now() } }, 2 * time.Second, 1, report.ResultTimedOut},
		"panics":        {func(*diary, func()) func() time.Time { return func() time.Time { panic("no clock") } }, 2 * time.Second, 1, report.ResultPanicked},
		"has forgotten": {func(*diary, func()) func() time.Time { return func() time.Time { return time.Time{} } }, 2 * time.Second, 1, 0},
		"in the far future": {func(*diary, func()) func() time.Time {
			return func() time.Time { return time.Now().AddDate(200, 0, 0) }
		}, 2 * time.Second, 1, 0},
		"slow": {func(d *diary, _ func()) func() time.Time {
			return func() time.Time { time.Sleep(100 * ms); return arrivals(d)() }
		}, 600 * ms, 1, 0},
		// Work came while it was asked. When the answer is there, Quiet is over once more,
		// but what came since is not known.
		"slow and busy": {func(d *diary, _ func()) func() time.Time {
			last := arrivals(d, at(200*ms))
			return func() time.Time { got := last(); time.Sleep(400 * ms); return got }
		}, 1300 * ms, 2, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, hang func()) {
				a := &arriving{server: newServer(d, "a", 0), last: tt.last(d, hang)}
				idle := &arriving{server: newServer(d, "idle", 0)}
				c := mustNew(t, quietBudget, noSignals, withServer("a", a), withServer("idle", idle))
				r, _ := runAfter(c, time.Minute)
				for _, s := range r.Steps {
					if s.Kind == report.KindPhase && s.Phase == lastcall.PhaseSettle && s.Duration != tt.want {
						t.Errorf("settle lasted %v, want %v", s.Duration, tt.want)
					}
				}
				if got := int(a.asked.Load()) - 1; got != tt.questions {
					t.Errorf("LastArrival was called %d times in phase settle, want %d", got, tt.questions)
				}
				switch {
				case tt.failure == 0:
					wantExit(t, r, report.ExitOK)
				case step(t, r, report.OpLastArrival, "a").Result != tt.failure:
					t.Errorf("want LastArrival to be %v\n%v", tt.failure, r)
				}
			})
		})
	}
}

// G4: a force, or the last Serve, ends a settle that waits for an answer.
func TestG4_NothingWaitsForLastArrival(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, hang func()) {
		a := &arriving{server: newServer(d, "a", 0), last: func() time.Time { hang(); return time.Now() }}
		c := mustNew(t, quietBudget, noSignals, withServer("a", a))
		time.AfterFunc(time.Minute+700*time.Millisecond, c.Force)
		r, took := runAfter(c, time.Minute)
		if took < 700*time.Millisecond || took > 720*time.Millisecond { // and 10 ms for what was begun just now
			t.Errorf("Run returned %v after the trigger\n%v", took, r)
		}
	})
}

// Quiet needs servers that can tell, and a settle to end.
func TestQuietRefuses(t *testing.T) {
	const s = time.Second
	tests := []struct {
		quiet, settle time.Duration
		want          string
	}{
		{-s, 2 * s, "Quiet is -1s, must not be negative"},
		{s, 0, "Quiet is 1s, but Settle is 0s"},
		{3 * s, 2 * s, "Quiet is 3s, must not be longer than Settle 2s"},
		{2 * s, 2 * s, ""},
		{time.Microsecond, time.Microsecond, ""},
	}
	for _, tt := range tests {
		err := lastcall.Budget{Total: 10 * s, Settle: tt.settle, Quiet: tt.quiet, Reserve: s}.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Quiet %v with Settle %v: error %v, want %q", tt.quiet, tt.settle, err, tt.want)
		}
	}

	d := newDiary()
	plain := withServer("plain", newServer(d, "plain", 0))
	unknown := newServer(&diary{}, "unknown", 0) // whose diary was opened at the zero time
	c, err := controller.New(quietBudget, noSignals, plain, withServer("unknown", &arriving{server: unknown}))
	for _, want := range []string{
		`controller: server "plain" cannot tell when work last arrived, so Budget.Quiet cannot work: it is not a lastcall.FullServer`,
		`controller: server "unknown" cannot tell when work last arrived, so Budget.Quiet cannot work: its LastArrival returned the zero time`,
	} {
		if c != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New says %v, want %q", err, want)
		}
	}
	c, err = controller.New(quietBudget, noSignals)
	if err != nil {
		t.Fatalf("without servers: %v", err)
	}
	if err := c.Add(plain); err == nil {
		t.Error("Add took a server that cannot tell")
	}
	if err := c.Add(withServer("a", &arriving{server: newServer(d, "a", 0)})); err != nil {
		t.Error(err)
	}
	if _, err := controller.New(quietBudget, withServer("nil", (*arriving)(nil))); err == nil || strings.Contains(err.Error(), "LastArrival") {
		t.Errorf("a nil server: %v", err)
	}
}

// G4: a settle that Quiet may end lasts MinSettle at least; no server is asked before.
func TestG4_MinSettle(t *testing.T) {
	const ms = time.Millisecond
	at := func(after time.Duration) time.Duration { return time.Minute + after }
	for name, tt := range map[string]struct {
		least     time.Duration
		come      []time.Duration
		want      time.Duration // the length of settle
		questions int
		end       report.SettleEnd
	}{
		"none":                     {0, nil, 500 * ms, 1, report.SettleQuiet},
		"shorter than Quiet":       {300 * ms, nil, 500 * ms, 1, report.SettleQuiet},
		"as long as Quiet":         {500 * ms, nil, 500 * ms, 1, report.SettleQuiet},
		"nothing comes":            {1200 * ms, nil, 1200 * ms, 1, report.SettleQuiet},
		"work in the beginning":    {1200 * ms, []time.Duration{at(100 * ms), at(700 * ms)}, 1200 * ms, 1, report.SettleQuiet},
		"work near its end":        {1200 * ms, []time.Duration{at(900 * ms)}, 1400 * ms, 2, report.SettleQuiet},
		"work after it":            {1200 * ms, []time.Duration{at(1100 * ms), at(1300 * ms)}, 1800 * ms, 3, report.SettleQuiet},
		"work goes on":             {1200 * ms, []time.Duration{at(1100 * ms), at(1550 * ms)}, 2000 * ms, 2, report.SettleTime},
		"as long as Settle":        {2000 * ms, nil, 2000 * ms, 0, report.SettleTime},
		"a moment before its end":  {1999 * ms, nil, 1999 * ms, 1, report.SettleQuiet},
		"shorter, work comes late": {100 * ms, []time.Duration{at(400 * ms)}, 900 * ms, 2, report.SettleQuiet},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				b := quietBudget
				b.MinSettle = tt.least
				a := &arriving{server: newServer(d, "a", 0), last: arrivals(d, tt.come...)}
				r, took := runAfter(mustNew(t, b, noSignals, withServer("a", a)), time.Minute)
				wantTook(t, took, tt.want)
				if got := int(a.asked.Load()) - 1; got != tt.questions {
					t.Errorf("LastArrival was called %d times in phase settle, want %d", got, tt.questions)
				}
				if r.Settle != tt.end {
					t.Errorf("settle ended with %q, want %q", r.Settle, tt.end)
				}
				wantExit(t, r, report.ExitOK)
				text, err := r.MarshalJSON()
				if want := fmt.Sprintf(`"min_settle_seconds":%v,`, tt.least.Seconds()); err != nil || !strings.Contains(string(text), want) {
					t.Errorf("the JSON report does not say %s: %s, error %v", want, text, err)
				}
			})
		})
	}
}

// MinSettle is for a settle that Quiet may end, and no longer than Settle.
func TestMinSettleRefuses(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		least, quiet, settle time.Duration
		want                 []string
	}{
		{-s, s, 2 * s, []string{"MinSettle is -1s, must not be negative"}},
		{-s, 0, 2 * s, []string{"MinSettle is -1s, must not be negative"}},
		{s, 0, 2 * s, []string{"MinSettle is 1s, but Quiet is 0s: nothing would end settle before its 2s are over"}},
		{s, 0, 0, []string{"MinSettle is 1s, but Quiet is 0s"}},
		{3 * s, s, 2 * s, []string{"MinSettle is 3s, must not be longer than Settle 2s"}},
		{3 * s, s, 0, []string{"Quiet is 1s, but Settle is 0s", "MinSettle is 3s, must not be longer than Settle 0s"}},
		{-s, -s, -s, []string{"MinSettle is -1s", "Quiet is -1s", "Settle is -1s"}},
		{2 * s, s, 2 * s, nil},
		{time.Microsecond, s, 2 * s, nil},
		{0, s, 2 * s, nil},
		{0, 0, 0, nil},
	} {
		b := lastcall.Budget{Total: 10 * s, Settle: tt.settle, Quiet: tt.quiet, MinSettle: tt.least, Reserve: s}
		err := b.Validate()
		if (err == nil) != (len(tt.want) == 0) {
			t.Errorf("%+v: error %v, want %q", b, err, tt.want)
		}
		for _, want := range tt.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: error %v, want %q", b, err, want)
			}
		}
		if c, newErr := controller.New(b, noSignals); (c == nil) != (err != nil) || err != nil && newErr.Error() != err.Error() {
			t.Errorf("%+v: New says %v, Validate %v", b, newErr, err)
		}
	}
}

// G4: a settle ends for one reason, which the report has in all its forms, and the log
// once: in the line that says that the drain begins.
func TestG4_SettleEnd(t *testing.T) {
	const ms = time.Millisecond
	at := func(after time.Duration) time.Duration { return time.Minute + after }
	tight := lastcall.Budget{Total: 3 * time.Second, Settle: 1900 * ms, Reserve: time.Second}
	slow := controller.WithAnnouncer("slow", func() { time.Sleep(200 * ms) })
	for name, tt := range map[string]struct {
		budget lastcall.Budget
		want   report.SettleEnd
		text   string
		phase  string // how Report.String tells it; "": it was left out
		took   time.Duration
		serve  time.Duration // when the server's Serve returns; 0: as it should
		opts   []controller.Option
		ask    func(c *controller.Controller)
		last   func(d *diary) func() time.Time
	}{
		"no Settle":         {budget: lastcall.Budget{Total: 3 * time.Second, Reserve: time.Second}, want: report.SettleUnplanned, text: "not in the budget"},
		"no Settle, forced": {budget: lastcall.Budget{Total: 3 * time.Second, Reserve: time.Second}, want: report.SettleUnplanned, text: "not in the budget", ask: (*controller.Controller).Force},
		"never ready": {budget: budget, want: report.SettleNotReady, text: "never ready",
			opts: []controller.Option{withServer("starts", &extended{server: newServer(newDiary(), "starts", 0), attach: func() { time.Sleep(time.Hour) }})}},
		"no server":           {budget: budget, want: report.SettleNobody, text: "no server serves", took: 200 * ms, serve: at(100 * ms), opts: []controller.Option{slow}},
		"no server any more":  {budget: budget, want: report.SettleNobody, text: "no server serves", phase: "settle 700ms (no server serves)", took: 700 * ms, serve: at(700 * ms)},
		"forced":              {budget: budget, want: report.SettleForced, text: "forced", ask: (*controller.Controller).Force},
		"forced in announce":  {budget: budget, want: report.SettleForced, text: "forced", took: 100 * ms, opts: []controller.Option{slow}, ask: func(c *controller.Controller) { c.Shutdown(nil); time.Sleep(100 * ms); c.Force() }},
		"forced in settle":    {budget: budget, want: report.SettleForced, text: "forced", phase: "settle 300ms (forced)", took: 300 * ms, ask: func(c *controller.Controller) { c.Shutdown(nil); time.Sleep(300 * ms); c.Force() }},
		"quiet":               {budget: quietBudget, want: report.SettleQuiet, text: "quiet", phase: "settle 500ms (quiet)", took: 500 * ms},
		"busy":                {budget: quietBudget, want: report.SettleTime, text: "full time", phase: "settle 2s (full time)", took: 2 * time.Second, last: func(*diary) func() time.Time { return time.Now }},
		"busy, then forced":   {budget: quietBudget, want: report.SettleForced, text: "forced", phase: "settle 900ms (forced)", took: 900 * ms, last: func(*diary) func() time.Time { return time.Now }, ask: func(c *controller.Controller) { c.Shutdown(nil); time.Sleep(900 * ms); c.Force() }},
		"busy, then nobody":   {budget: quietBudget, want: report.SettleNobody, text: "no server serves", phase: "settle 900ms (no server serves)", took: 900 * ms, serve: at(900 * ms), last: func(*diary) func() time.Time { return time.Now }},
		"Settle is over":      {budget: budget, want: report.SettleTime, text: "full time", phase: "settle 2s (full time)", took: 2 * time.Second},
		"the timer is sooner": {budget: tight, want: report.SettleTimer, text: "the timer fired", phase: "settle 1.8s (the timer fired)", took: 2 * time.Second, opts: []controller.Option{slow}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *diary, _ func()) {
				var out bytes.Buffer
				a := &arriving{server: newServer(d, "a", 0)}
				if tt.last != nil {
					a.last = tt.last(d)
				}
				if tt.serve > 0 {
					a.serve = func() error { time.Sleep(tt.serve); return nil }
				}
				c := mustNew(t, tt.budget, append(tt.opts, noSignals, withServer("a", a), controller.WithLogger(zerolog.New(&out)))...)
				ask := tt.ask
				if ask == nil {
					ask = func(c *controller.Controller) { c.Shutdown(errAsked) }
				}
				time.AfterFunc(time.Minute, func() { ask(c) })
				r := c.Run(context.Background())
				if r.Settle != tt.want || string(r.Settle) != tt.text {
					t.Errorf("settle ended with %q, want %q\n%v", r.Settle, tt.want, r)
				}
				if got := enteredAt(t, r, fsm.GracefulShutdown).Sub(r.Triggered); got != tt.took {
					t.Errorf("GRACEFUL_SHUTDOWN was entered %v after the trigger, want %v", got, tt.took)
				}
				if hasPhase(r, lastcall.PhaseSettle) != (tt.phase != "") || !strings.Contains(r.String(), tt.phase) || tt.phase == "" && strings.Contains(r.String(), ", settle ") {
					t.Errorf("the report does not say %q:\n%v", tt.phase, r)
				}
				text, err := r.MarshalJSON()
				if want := `"settle":"` + tt.text + `",`; err != nil || strings.Count(string(text), want) != 1 {
					t.Errorf("the JSON report does not say %s once, error %v: %s", want, err, text)
				}
				said := 0
				for line := range strings.Lines(out.String()) {
					transition := strings.Contains(line, `"message":"state GRACEFUL_SHUTDOWN"`)
					if strings.Contains(line, `"settle_end":"`+tt.text+`"`) {
						said++
						if !transition {
							t.Errorf("why settle ended is said in %s", line)
						}
					}
				}
				if said != 1 {
					t.Errorf("the log says %d times why settle ended, want once:\n%s", said, &out)
				}
			})
		})
	}
}

// A Life with another Draining channel keeps the timer, also one that moves.
func TestLifeWithAnotherChannel(t *testing.T) {
	bubble(t, func(t *testing.T, d *diary, _ func()) {
		e := &attached{server: newServer(d, "s", time.Second)}
		c := mustNew(t, budget, noSignals, withServer("s", e))
		own := make(chan struct{})
		var later atomic.Pointer[lastcall.Life]
		time.AfterFunc(time.Second, func() {
			life := lastcall.NewLife(own, e.life.Load().Times)
			later.Store(&life)
			if _, known := life.TimerAt(); known {
				t.Error("the timer is known before the trigger")
			}
		})
		check := func() {
			ctx := lastcall.NewContext(context.Background(), *later.Load())
			want, known := e.life.Load().TimerAt()
			if got, ok := lastcall.TimerAt(ctx); !known || !ok || !got.Equal(want) {
				t.Errorf("the timer is said to fire at %v, want %v", got, want)
			}
			if lastcall.Draining(ctx) != (<-chan struct{})(own) {
				t.Error("Draining is not the channel that was given")
			}
		}
		time.AfterFunc(time.Minute+2500*time.Millisecond, func() { check(); c.Force(); time.Sleep(time.Millisecond); check() })
		runAfter(c, time.Minute)
		select {
		case <-own:
			t.Error("the controller closed a channel that is not its own")
		case <-e.life.Load().Draining():
		}
	})
	own := make(chan struct{})
	life := lastcall.NewLife(own, nil)
	if at, known := life.TimerAt(); known || life.Draining() != (<-chan struct{})(own) {
		t.Errorf("the zero Life with a channel knows a timer (%v, %v), or has lost the channel", at, known)
	}
	var boxed any
	if n := testing.AllocsPerRun(100, func() { boxed = life }); n > 0 || boxed == nil {
		t.Errorf("to put a Life into an interface allocates %v times", n)
	}
}
