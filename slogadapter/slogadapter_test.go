package slogadapter_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall"
	"github.com/lastcall-go/lastcall/controller"
	"github.com/lastcall-go/lastcall/drain"
	"github.com/lastcall-go/lastcall/report"
	"github.com/lastcall-go/lastcall/slogadapter"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the transcripts in testdata")

var budget = lastcall.Budget{Total: 10 * time.Second, Settle: 2 * time.Second, Reserve: 4 * time.Second}

// run shuts down, in a bubble, a mail group with two tasks of which one does not end, a
// dependency that cannot be closed, and one that is slow. It returns the report, and how
// long the shutdown has taken.
func run(t *testing.T, opts ...controller.Option) (r report.Report, took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		mail := drain.New()
		opts = append(opts, controller.WithSignals(), controller.WithoutStderr(), controller.WithoutStacks(),
			controller.WithServer("mail", mail),
			controller.WithCloser("postgres", func() { time.Sleep(20 * time.Millisecond) }),
			controller.WithCloser("redis", func() error { time.Sleep(5 * time.Millisecond); return errors.New("broken pipe\nsent: 3") }),
			controller.WithFlusher("traces", func() { time.Sleep(30 * time.Millisecond) }))
		c, err := controller.New(budget, opts...)
		if err != nil {
			t.Fatal(err)
		}
		ends := func(context.Context) { time.Sleep(time.Minute + 3*time.Second) }
		stays := func(context.Context) { <-over }
		for name, f := range map[string]func(context.Context){"send": ends, "bounce": stays} {
			if err := mail.Watcher().Go(context.Background(), name, f); err != nil {
				t.Fatal(err)
			}
		}
		time.AfterFunc(time.Minute, func() { c.Shutdown(errors.New("deploy of v2")) })
		time.AfterFunc(time.Minute+time.Second, func() { c.Shorten(time.Now().Add(8*time.Second), "the node goes away") })
		r = c.Run(context.Background())
		took = time.Since(r.Triggered)
		close(over)
		time.Sleep(time.Hour) // lets what sleeps come to its end
	})
	return r, took
}

// TestTranscripts compares what the two handlers of log/slog write of a shutdown, in
// virtual time, to the letter.
func TestTranscripts(t *testing.T) {
	var json, text bytes.Buffer
	run(t, slogadapter.WithLogger(slog.New(slog.NewJSONHandler(&json, nil))))
	run(t, slogadapter.WithLogger(slog.New(slog.NewTextHandler(&text, nil)).With("service", "mailer")))
	for name, got := range map[string][]byte{"json.txt": json.Bytes(), "text.txt": text.Bytes()} {
		name = filepath.Join("testdata", name)
		lines := strings.SplitAfter(string(got), "\n")
		slices.Sort(lines) // by time: what comes in one instant has no order
		got = []byte(strings.Join(lines, ""))
		if *rewrite {
			if err := os.WriteFile(name, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs; go test ./slogadapter -run TestTranscripts -rewrite rewrites it. Now it is:\n%s", name, got)
		}
	}
}

// handler is a slog.Handler made of two functions.
type handler struct {
	enabled func(slog.Level) bool
	handle  func(slog.Record) error
}

func (h handler) Enabled(_ context.Context, l slog.Level) bool {
	return h.enabled == nil || h.enabled(l)
}
func (h handler) Handle(_ context.Context, r slog.Record) error { return h.handle(r) }
func (h handler) WithAttrs([]slog.Attr) slog.Handler            { return h }
func (h handler) WithGroup(string) slog.Handler                 { return h }

// Records carry the instant, the level and slog values of their own kinds.
func TestRecords(t *testing.T) {
	kinds := map[string]slog.Kind{}
	var levels []slog.Level
	var times []time.Time
	r, _ := run(t, slogadapter.WithLogger(slog.New(handler{handle: func(r slog.Record) error {
		time.Sleep(time.Millisecond) // the times are not those of the write
		levels, times = append(levels, r.Level), append(times, r.Time)
		r.Attrs(func(a slog.Attr) bool { kinds[a.Key] = a.Value.Kind(); return true })
		return nil
	}})))
	for key, want := range map[string]slog.Kind{
		"elapsed": slog.KindDuration, "remaining": slog.KindDuration, "took": slog.KindDuration, "total": slog.KindDuration,
		"deadline": slog.KindTime, "exit_code": slog.KindInt64, "forced": slog.KindBool, "cause": slog.KindString,
	} {
		if kinds[key] != want {
			t.Errorf("%s is a %v, want a %v", key, kinds[key], want)
		}
	}
	if got := fmt.Sprint(levels); !strings.Contains(got, "ERROR") || !strings.Contains(got, "WARN") {
		t.Errorf("the levels are %v", got)
	}
	if !times[0].Equal(r.Begun) || !times[2].Equal(r.Triggered) || !times[3].Equal(r.Triggered) {
		t.Errorf("the first times are %v; Run began at %v, and the trigger came at %v", times[:4], r.Begun, r.Triggered)
	}
}

// A handler that fails, in whatever way, costs nothing but its own records, which are
// counted.
func TestHostileHandlers(t *testing.T) {
	_, without := run(t)
	blocks := func() { time.Sleep(30 * time.Minute) } // in virtual time
	for name, tt := range map[string]struct {
		handler slog.Handler
		want    func(d report.Delivery) bool
	}{
		"error": {handler{handle: func(slog.Record) error { return errors.New("disk full") }},
			func(d report.Delivery) bool { return d.Told == 0 && d.Failed > 10 && d.Missed == 0 }},
		"panic": {handler{handle: func(slog.Record) error { panic("no") }},
			func(d report.Delivery) bool { return d.Told == 0 && d.Failed > 10 && d.Missed == 0 }},
		"Goexit": {handler{handle: func(slog.Record) error { runtime.Goexit(); return nil }},
			func(d report.Delivery) bool { return d.Told == 0 && d.Failed > 10 && d.Missed == 0 }},
		"Enabled panics": {handler{enabled: func(slog.Level) bool { panic("no") }},
			func(d report.Delivery) bool { return d.Told == 0 && d.Failed > 10 && d.Missed == 0 }},
		"blocks": {handler{handle: func(slog.Record) error { blocks(); return nil }},
			func(d report.Delivery) bool { return d.Told == 0 && d.Busy && d.Missed > 10 }},
		"Enabled blocks": {handler{enabled: func(slog.Level) bool { blocks(); return true }},
			func(d report.Delivery) bool { return d.Told == 0 && d.Busy && d.Missed > 10 }},
		"a broken writer": {slog.NewJSONHandler(writer(func([]byte) (int, error) { return 0, io.ErrClosedPipe }), nil),
			func(d report.Delivery) bool { return d.Told == 0 && d.Failed > 10 && d.Missed == 0 }},
		"errors only": {handler{enabled: func(l slog.Level) bool { return l >= slog.LevelError }, handle: func(r slog.Record) error {
			if r.Level < slog.LevelError {
				t.Errorf("a record of level %v was handled", r.Level)
			}
			return nil
		}},
			func(d report.Delivery) bool { return d.Told > 10 && d.Failed == 0 && d.Missed == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			r, took := run(t, slogadapter.WithLogger(slog.New(tt.handler)))
			if took != without {
				t.Errorf("the shutdown took %v, without a log %v", took, without)
			}
			if d := r.Deliveries[0]; d.Op != report.OpLog || d.Name != "slog" || !tt.want(d) {
				t.Errorf("the report says %v", d)
			}
		})
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// A logger that is nil, or was not made by slog.New, is an error.
func TestNoLogger(t *testing.T) {
	for _, logger := range []*slog.Logger{nil, {}} {
		if _, err := controller.New(budget, slogadapter.WithLogger(logger)); err == nil || err.Error() != `controller: logger "slog" is nil` {
			t.Errorf("New gives %v", err)
		}
	}
}

func Example() {
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctl, err := controller.New(lastcall.DefaultBudget(), slogadapter.WithLogger(logger))
	if err != nil {
		logger.Error("lastcall", "error", err)
		return
	}
	ctl.Shutdown(nil)
	fmt.Println(ctl.Run(context.Background()).Outcome)
	// Output: drained
}
