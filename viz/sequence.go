package viz

// GuideSequence returns the sequence diagram of the gRPC guide, in mermaid: what client
// and server say to each other when the RPCs complete in time, and when they do not.
// The title stands above it, if it is not blank.
func GuideSequence(title string) string {
	text := "sequenceDiagram\n"
	if !blank(title) {
		text += "    title " + EscapeMermaid(title) + "\n"
	}
	return text + exchange
}

// exchange is the body of the guide's sequence diagram (the same source as the
// state diagram's, see mermaid). The guide does not declare the participants; they
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
