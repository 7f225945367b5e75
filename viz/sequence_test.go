package viz_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall/viz"
)

const sequence = `sequenceDiagram
    participant Client
    participant Server
    Client->>Server: New RPC Request 1
    Client->>Server: New RPC Request 2
    Server-->>Server: Graceful Shutdown Invoked
    Server->>Client: Continues Processing In-Flight RPCs
    Client->>Client: Detects server shutdown and finds other servers if available
    alt RPCs complete within timeout
        Server->>Client: Completes RPC 1
        Server->>Client: Completes RPC 2
        Server-->>Server: Graceful Shutdown Complete
    else Timeout reached
        Server->>Client: Forceful Shutdown Invoked, terminating pending RPCs
        Server-->>Server: Forceful Shutdown Complete
    end
`

func TestSequence(t *testing.T) {
	tests := map[string]struct {
		opts []viz.SequenceOption
		want string
	}{
		"as it is":     {nil, sequence},
		"with a title": {[]viz.SequenceOption{viz.Title("a: <b>\nc")}, strings.Replace(sequence, "\n", "\n    title a#58; #60;b#62;#10;c\n", 1)},
	}
	for name, tt := range tests {
		var b bytes.Buffer
		if err := viz.Sequence(&b, tt.opts...); err != nil || b.String() != tt.want {
			t.Errorf("%s: error %v, got\n%s\nwant\n%s", name, err, &b, tt.want)
		}
	}
}

func TestWrongSequenceOptions(t *testing.T) {
	tests := map[string]struct {
		opts []viz.SequenceOption
		want string
	}{
		"a blank title": {[]viz.SequenceOption{viz.Title("")}, "the title is blank"},
		"two titles":    {[]viz.SequenceOption{viz.Title("a"), viz.Title("b")}, `title "b" after title "a"`},
		"nil":           {[]viz.SequenceOption{nil}, "option 1 is nil"},
	}
	for name, tt := range tests {
		var w recorder
		err := viz.Sequence(&w, tt.opts...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v does not say %q", name, err, tt.want)
		}
		if w.calls != 0 {
			t.Errorf("%s: something was written", name)
		}
	}
}

// TestSequenceTakesTitlesOnly: the other options have no meaning there.
func TestSequenceTakesTitlesOnly(t *testing.T) {
	for _, opt := range []viz.Option{viz.Calls(), viz.Direction("LR"), viz.Note(1, "x"), viz.Path()} {
		if _, ok := opt.(viz.SequenceOption); ok {
			t.Errorf("%T is an option of Sequence", opt)
		}
	}
}
