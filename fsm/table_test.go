package fsm_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
)

var (
	allStates = []fsm.State{fsm.Serving, fsm.GracefulShutdown, fsm.TimerExpired, fsm.Terminated}
	allEvents = []fsm.Event{fsm.GracefulShutdownCalled, fsm.Drained, fsm.Timeout, fsm.Stopped}
)

func row(from fsm.State, event fsm.Event, to fsm.State) fsm.Transition {
	return fsm.Transition{From: from, Event: event, To: to}
}

func TestNewTableRefuses(t *testing.T) {
	begin := row(fsm.Serving, fsm.GracefulShutdownCalled, fsm.GracefulShutdown)
	drained := row(fsm.GracefulShutdown, fsm.Drained, fsm.Terminated)
	timeout := row(fsm.GracefulShutdown, fsm.Timeout, fsm.TimerExpired)
	stopped := row(fsm.TimerExpired, fsm.Stopped, fsm.Terminated)
	tests := map[string]struct {
		initial fsm.State
		rows    []fsm.Transition
		want    string
	}{
		"the zero initial state":           {0, []fsm.Transition{begin, drained}, "the initial state State(0) is not a state"},
		"an unknown state":                 {fsm.Serving, []fsm.Transition{row(fsm.Serving, fsm.Drained, 9)}, "row 1 leads from SERVING to State(9)"},
		"the zero event":                   {fsm.Serving, []fsm.Transition{row(fsm.Serving, 0, fsm.Terminated)}, "row 1: Event(0) is not an event"},
		"an unknown call":                  {fsm.Serving, []fsm.Transition{{From: fsm.Serving, Event: fsm.Drained, To: fsm.Terminated, Call: 7}}, "row 1: Call(7) is not a call"},
		"two rows for one state and event": {fsm.Serving, []fsm.Transition{begin, drained, row(fsm.Serving, fsm.GracefulShutdownCalled, fsm.Terminated)}, "rows 1 and 3 both say what graceful_shutdown does in SERVING"},
		"a self-loop":                      {fsm.Serving, []fsm.Transition{begin, drained, row(fsm.GracefulShutdown, fsm.Stopped, fsm.GracefulShutdown)}, "row 3 leads from GRACEFUL_SHUTDOWN back to itself"},
		"an exit from a terminal state":    {fsm.Serving, []fsm.Transition{begin, drained, row(fsm.Terminated, fsm.Drained, fsm.Serving)}, "row 3 leads out of TERMINATED"},
		"an unreachable state":             {fsm.Serving, []fsm.Transition{begin, drained, stopped}, "TIMER_EXPIRED cannot be reached from SERVING"},
		"a dead end":                       {fsm.Serving, []fsm.Transition{begin, drained, timeout}, "no terminal state can be reached from TIMER_EXPIRED"},
		"no rows":                          {fsm.Serving, nil, "no terminal state can be reached from SERVING"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			table, err := fsm.NewTable(tt.initial, "", tt.rows...)
			if err == nil {
				t.Fatal("NewTable accepted it")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
			if len(slices.Collect(table.All())) != 0 {
				t.Error("a refused table has rows")
			}
		})
	}
}

func TestTableIsImmutable(t *testing.T) {
	rows := []fsm.Transition{row(fsm.Serving, fsm.Drained, fsm.Terminated)}
	table, err := fsm.NewTable(fsm.Serving, "", rows...)
	if err != nil {
		t.Fatal(err)
	}
	rows[0].To = fsm.TimerExpired
	got, ok := table.Next(fsm.Serving, fsm.Drained)
	if !ok || got.To != fsm.Terminated {
		t.Errorf("changing the caller's slice changed the table: %v, %v", got, ok)
	}
}

func TestStatesOrder(t *testing.T) {
	got := slices.Collect(transitions.Shutdown().States())
	want := []fsm.State{fsm.Serving, fsm.GracefulShutdown, fsm.Terminated, fsm.TimerExpired}
	if !slices.Equal(got, want) {
		t.Errorf("States yields %v, want %v (the order of the rows)", got, want)
	}
}

func TestTextRoundTrip(t *testing.T) {
	for _, s := range allStates {
		var back fsm.State
		roundTrip(t, s, &back)
		if back != s {
			t.Errorf("%v came back as %v", s, back)
		}
	}
	for _, e := range allEvents {
		var back fsm.Event
		roundTrip(t, e, &back)
		if back != e {
			t.Errorf("%v came back as %v", e, back)
		}
	}
	for _, none := range []any{fsm.State(0), fsm.State(5), fsm.Event(0), fsm.Event(5)} {
		if text, err := json.Marshal(none); err == nil {
			t.Errorf("%v was marshalled as %s", none, text)
		}
	}
	state, event := fsm.Serving, fsm.Drained
	if err := state.UnmarshalText([]byte("State(9)")); err == nil || state != fsm.Serving {
		t.Errorf("a wrong text gave %v, error %v", state, err)
	}
	if err := event.UnmarshalText([]byte("SERVING")); err == nil || event != fsm.Drained {
		t.Errorf("a wrong text gave %v, error %v", event, err)
	}
}

func roundTrip(t *testing.T, from, to any) {
	t.Helper()
	text, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatal(err)
	}
}
