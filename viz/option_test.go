package viz_test

import (
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall/fsm"
	"github.com/lastcall-go/lastcall/transitions"
	"github.com/lastcall-go/lastcall/viz"
)

const style = "    classDef taken fill:lightgreen,stroke:darkgreen,stroke-width:3px,color:black\n"

func TestOptions(t *testing.T) {
	const header = "stateDiagram-v2\n"
	tests := map[string]struct {
		opts []viz.Option
		want string
	}{
		"direction": {[]viz.Option{viz.Direction("LR")}, strings.Replace(guide, header, header+"    direction LR\n", 1)},
		"title":     {[]viz.Option{viz.Title(`a: "b"`)}, "---\ntitle: \"a\\x3A \\x22b\\x22\"\n---\n" + guide},
		"notes in the order of states, then of options": {
			[]viz.Option{viz.Note(fsm.TimerExpired, "z"), viz.Note(fsm.Serving, "b: c"), viz.Note(fsm.Serving, "a")},
			guide + "    note right of SERVING : b#58; c\n    note right of SERVING : a\n    note right of TIMER_EXPIRED : z\n",
		},
		"calls": {
			[]viz.Option{viz.Calls()},
			strings.NewReplacer("(with Timeout)", "(with Timeout) / GracefulStop", "Timeout Reached", "Timeout Reached / Stop").Replace(guide),
		},
		"a run that drained": {
			[]viz.Option{viz.Path(fsm.Serving, fsm.GracefulShutdown, fsm.Terminated)},
			guide + style + "    class SERVING,GRACEFUL_SHUTDOWN,TERMINATED taken\n",
		},
		"a run that was forced": {
			[]viz.Option{viz.Path(fsm.Serving, fsm.GracefulShutdown, fsm.TimerExpired, fsm.Terminated)},
			guide + style + "    class SERVING,GRACEFUL_SHUTDOWN,TERMINATED,TIMER_EXPIRED taken\n",
		},
		"a run that is not over": {
			[]viz.Option{viz.Path(fsm.Serving)},
			guide + style + "    class SERVING taken\n",
		},
		"all": {
			[]viz.Option{viz.Path(fsm.Serving), viz.Calls(), viz.Note(fsm.Terminated, "n"), viz.Title("t"), viz.Direction("BT")},
			"---\ntitle: \"t\"\n---\n" + strings.NewReplacer(header, header+"    direction BT\n",
				"(with Timeout)", "(with Timeout) / GracefulStop", "Timeout Reached", "Timeout Reached / Stop").Replace(guide) +
				"    note right of TERMINATED : n\n" + style + "    class SERVING taken\n",
		},
	}
	for name, tt := range tests {
		if got := draw(t, transitions.Shutdown(), tt.opts...); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, tt.want)
		}
	}
}

// TestPathOfACycle: a state that a run visits twice is named once.
func TestPathOfACycle(t *testing.T) {
	table, err := fsm.NewTable(fsm.Serving, "",
		fsm.Transition{From: fsm.Serving, Event: fsm.Timeout, To: fsm.TimerExpired},
		fsm.Transition{From: fsm.TimerExpired, Event: fsm.Drained, To: fsm.Serving},
		fsm.Transition{From: fsm.TimerExpired, Event: fsm.Stopped, To: fsm.Terminated},
	)
	if err != nil {
		t.Fatal(err)
	}
	got := draw(t, table, viz.Path(fsm.Serving, fsm.TimerExpired, fsm.Serving, fsm.TimerExpired))
	if want := style + "    class SERVING,TIMER_EXPIRED taken\n"; !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwhich does not end in\n%s", got, want)
	}
}

// TestPathKeepsItsStates: an option is a value; the caller may use his slice again.
func TestPathKeepsItsStates(t *testing.T) {
	states := []fsm.State{fsm.Serving, fsm.GracefulShutdown}
	path := viz.Path(states...)
	states[0] = fsm.Terminated
	if got := draw(t, transitions.Shutdown(), path); !strings.Contains(got, "class SERVING,GRACEFUL_SHUTDOWN taken") {
		t.Errorf("changing the caller's slice changed the path:\n%s", got)
	}
}

func TestWrongOptions(t *testing.T) {
	short, err := fsm.NewTable(fsm.Serving, "", fsm.Transition{From: fsm.Serving, Event: fsm.Drained, To: fsm.Terminated})
	if err != nil {
		t.Fatal(err)
	}
	full := transitions.Shutdown()
	tests := map[string]struct {
		table fsm.Table
		opts  []viz.Option
		want  []string
	}{
		"an unknown direction":        {full, []viz.Option{viz.Direction("up\n")}, []string{`direction "up\n" is none of TB, BT, LR, RL`}},
		"a direction in small":        {full, []viz.Option{viz.Direction("lr")}, []string{`"lr"`}},
		"no direction":                {full, []viz.Option{viz.Direction("")}, []string{`direction ""`}},
		"two directions":              {full, []viz.Option{viz.Direction("LR"), viz.Direction("TB")}, []string{`"TB" after direction "LR"`}},
		"a blank title":               {full, []viz.Option{viz.Title(" \n")}, []string{"the title is blank"}},
		"two titles":                  {full, []viz.Option{viz.Title("a"), viz.Title("b")}, []string{`title "b" after title "a"`}},
		"a note at another state":     {short, []viz.Option{viz.Note(fsm.TimerExpired, "x")}, []string{`note "x" is at TIMER_EXPIRED, which is not a state of the table`}},
		"a note at no state":          {full, []viz.Option{viz.Note(0, "x")}, []string{`State(0)`}},
		"a blank note":                {full, []viz.Option{viz.Note(fsm.Serving, "\t")}, []string{"the note at SERVING is blank"}},
		"calls twice":                 {full, []viz.Option{viz.Calls(), viz.Calls()}, []string{"Calls is given twice"}},
		"an empty path":               {full, []viz.Option{viz.Path()}, []string{"the path has no states"}},
		"a path from the middle":      {full, []viz.Option{viz.Path(fsm.GracefulShutdown, fsm.Terminated)}, []string{"the path begins in GRACEFUL_SHUTDOWN, the table in SERVING"}},
		"a path that jumps":           {full, []viz.Option{viz.Path(fsm.Serving, fsm.GracefulShutdown, fsm.Serving)}, []string{"step 2 of the path: no row of the table leads from GRACEFUL_SHUTDOWN to SERVING"}},
		"a path that stays":           {full, []viz.Option{viz.Path(fsm.Serving, fsm.Serving)}, []string{"step 1 of the path"}},
		"a path beyond the end":       {full, []viz.Option{viz.Path(fsm.Serving, fsm.GracefulShutdown, fsm.Terminated, fsm.Terminated)}, []string{"step 3 of the path"}},
		"a path to nowhere":           {full, []viz.Option{viz.Path(fsm.Serving, 9)}, []string{"to State(9)"}},
		"a path of another table":     {short, []viz.Option{viz.Path(fsm.Serving, fsm.GracefulShutdown)}, []string{"step 1 of the path"}},
		"two paths":                   {full, []viz.Option{viz.Path(fsm.Serving), viz.Path(fsm.Serving)}, []string{"a second path"}},
		"nil":                         {full, []viz.Option{viz.Calls(), nil}, []string{"option 2 is nil"}},
		"several things, all told of": {full, []viz.Option{viz.Direction("x"), viz.Title(""), nil}, []string{`"x"`, "title is blank", "option 3 is nil"}},
	}
	for name, tt := range tests {
		var w recorder
		err := viz.State(&w, tt.table, tt.opts...)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not say %q", name, err, want)
			}
		}
		if w.calls != 0 {
			t.Errorf("%s: something was written", name)
		}
	}
}
