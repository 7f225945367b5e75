package viz

import (
	"errors"
	"fmt"
	"io"
)

// exchange is the body of the guide's sequence diagram (the same source as the
// state diagram's, see draw). The guide does not declare the participants; they
// are declared here, in the order in which it names them.
const exchange = `    participant Client
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

// Sequence writes the sequence diagram of the gRPC guide to w, in mermaid: what
// client and server say to each other when the RPCs complete in time, and when
// they do not.
//
// Like State it calls w.Write once; a wrong option is an error, and then nothing
// is written.
func Sequence(w io.Writer, opts ...SequenceOption) error {
	var d sequenceDiagram
	var errs []error
	for i, opt := range opts {
		if opt == nil {
			errs = append(errs, fmt.Errorf("viz: option %d is nil", i+1))
			continue
		}
		errs = append(errs, opt.applySequence(&d))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return writeOnce(w, d.draw())
}

// sequenceDiagram is what the options of Sequence ask for.
type sequenceDiagram struct{ title string }

func (d *sequenceDiagram) draw() []byte {
	text := "sequenceDiagram\n"
	if d.title != "" {
		text += "    title " + escape(d.title) + "\n"
	}
	return []byte(text + exchange)
}
