package viz_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
)

// guide is the state diagram of the gRPC guide, byte for byte.
const guide = `stateDiagram-v2
    [*] --> SERVING : Server Started
    SERVING --> GRACEFUL_SHUTDOWN : Graceful Shutdown Called (with Timeout)
    GRACEFUL_SHUTDOWN --> TERMINATED : In-Flight RPCs Completed (Before Timeout)
    GRACEFUL_SHUTDOWN --> TIMER_EXPIRED : Timeout Reached
    TIMER_EXPIRED --> TERMINATED : Forceful Shutdown Called
`

func draw(t *testing.T, table fsm.Table, opts ...viz.Option) string {
	t.Helper()
	var b bytes.Buffer
	if err := viz.State(&b, table, opts...); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestStateIsTheGuide(t *testing.T) {
	if got := draw(t, transitions.Shutdown()); got != guide {
		t.Errorf("got\n%s\nwant\n%s", got, guide)
	}
}

// TestStateKeepsTheTablesOrder draws rows in an order that is not that of the
// states' numbers, with labels that are blank and one that has to be escaped.
func TestStateKeepsTheTablesOrder(t *testing.T) {
	table, err := fsm.NewTable(fsm.TimerExpired, " ",
		fsm.Transition{From: fsm.TimerExpired, Event: fsm.Stopped, To: fsm.Serving, Label: "a\nb"},
		fsm.Transition{From: fsm.Serving, Event: fsm.Timeout, To: fsm.GracefulShutdown},
		fsm.Transition{From: fsm.GracefulShutdown, Event: fsm.Drained, To: fsm.Terminated, Label: "x", Call: fsm.CallStop},
		fsm.Transition{From: fsm.Serving, Event: fsm.Drained, To: fsm.Terminated, Call: fsm.CallGracefulStop},
	)
	if err != nil {
		t.Fatal(err)
	}
	want := `stateDiagram-v2
    [*] --> TIMER_EXPIRED
    TIMER_EXPIRED --> SERVING : a#10;b
    SERVING --> GRACEFUL_SHUTDOWN
    GRACEFUL_SHUTDOWN --> TERMINATED : x
    SERVING --> TERMINATED
`
	if got := draw(t, table); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	want = strings.NewReplacer(": x", ": x / Stop", "SERVING --> TERMINATED", "SERVING --> TERMINATED : / GracefulStop").Replace(want)
	if got := draw(t, table, viz.Calls()); got != want {
		t.Errorf("with calls: got\n%s\nwant\n%s", got, want)
	}
}

func TestZeroTable(t *testing.T) {
	draws := map[string]func(io.Writer) error{
		"State": func(w io.Writer) error { return viz.State(w, fsm.Table{}) },
		"Table": func(w io.Writer) error { return viz.Table(w, fsm.Table{}) },
		"Rewrite": func(io.Writer) error {
			text, err := viz.Rewrite([]byte("x"), fsm.Table{})
			if text != nil {
				t.Errorf("Rewrite returns %q", text)
			}
			return err
		},
	}
	for name, draw := range draws {
		var w recorder
		err := draw(&w)
		if err == nil || !strings.Contains(err.Error(), "zero fsm.Table") {
			t.Errorf("%s: error %v does not say that the table is zero", name, err)
		}
		if w.calls != 0 {
			t.Errorf("%s wrote something", name)
		}
	}
}

// recorder is a writer that keeps what it is given and answers as it is told.
type recorder struct {
	calls int
	text  []byte
	short int // how many bytes it says it did not take
	err   error
}

func (r *recorder) Write(p []byte) (int, error) {
	r.calls++
	r.text = append(r.text, p...)
	return len(p) - r.short, r.err
}

func TestOneWrite(t *testing.T) {
	full := errors.New("disk full")
	draws := map[string]func(io.Writer) error{
		"State":    func(w io.Writer) error { return viz.State(w, transitions.Shutdown(), viz.Title("a")) },
		"Sequence": func(w io.Writer) error { return viz.Sequence(w, viz.Title("a")) },
		"Table":    func(w io.Writer) error { return viz.Table(w, transitions.Shutdown()) },
	}
	for name, draw := range draws {
		tests := map[string]struct {
			writer recorder
			want   error
		}{
			"all taken":          {recorder{}, nil},
			"an error":           {recorder{err: full}, full},
			"short, an error":    {recorder{err: full, short: 1}, full},
			"short, no error":    {recorder{short: 1}, io.ErrShortWrite},
			"nothing, no error":  {recorder{short: 50}, io.ErrShortWrite},
			"more than there is": {recorder{short: -1}, io.ErrShortWrite},
		}
		for manner, tt := range tests {
			if err := draw(&tt.writer); err != tt.want { //nolint:errorlint // the error of the writer comes back as it is
				t.Errorf("%s, %s: error %v, want %v", name, manner, err, tt.want)
			}
			if tt.writer.calls != 1 || !bytes.HasSuffix(tt.writer.text, []byte("\n")) {
				t.Errorf("%s, %s: %d calls of Write, want one with everything", name, manner, tt.writer.calls)
			}
		}
	}
}
