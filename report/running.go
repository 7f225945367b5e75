package report

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall"
)

// RunningWork is the attribute "running" of a Line.
type RunningWork []Running

// Running is the work of one name that still runs.
type Running struct {
	Server  string // of a line about several servers; "" in any other
	Name    string
	Kind    lastcall.WorkKind
	Running int
	Oldest  time.Duration // the age of the oldest; 0 if it is not known
	Peer    string        // whom that one serves, if that is known
	Path    string        // what that one asks for, if the name does not say it
	At      string        // the lines of code where the goroutines stand, if they are known
}

// String returns the list in one line.
func (all RunningWork) String() string {
	var b strings.Builder
	for i, w := range all {
		if i > 0 {
			b.WriteString(", ")
		}
		if w.Server != "" {
			fmt.Fprintf(&b, "%q ", w.Server)
		}
		fmt.Fprintf(&b, "%s x%d", oneLine(w.Name), w.Running)
		if w.Oldest != 0 {
			fmt.Fprintf(&b, " (oldest %s)", Round(w.Oldest))
		}
		if w.Peer != "" {
			fmt.Fprintf(&b, " from %s", oneLine(w.Peer))
		}
		if w.Path != "" {
			fmt.Fprintf(&b, " for %s", oneLine(w.Path))
		}
		if w.At != "" {
			fmt.Fprintf(&b, " at %s", w.At)
		}
	}
	return b.String()
}

// MarshalText returns what String does.
func (all RunningWork) MarshalText() ([]byte, error) { return []byte(all.String()), nil }

// MarshalJSON writes a list of objects with the keys server, name, kind, running,
// oldest, oldest_seconds, peer, path and at.
func (all RunningWork) MarshalJSON() ([]byte, error) {
	type one struct {
		Server  string            `json:"server,omitempty"`
		Name    string            `json:"name"`
		Kind    lastcall.WorkKind `json:"kind"`
		Running int               `json:"running"`
		Oldest  string            `json:"oldest,omitempty"`
		Seconds float64           `json:"oldest_seconds,omitempty"`
		Peer    string            `json:"peer,omitempty"`
		Path    string            `json:"path,omitempty"`
		At      string            `json:"at,omitempty"`
	}
	out := make([]one, 0, len(all))
	for _, w := range all {
		o := one{Server: w.Server, Name: w.Name, Kind: w.Kind, Running: w.Running, Peer: w.Peer, Path: w.Path, At: w.At}
		if w.Oldest != 0 {
			o.Oldest, o.Seconds = Round(w.Oldest), Seconds(w.Oldest)
		}
		out = append(out, o)
	}
	return json.Marshal(out)
}
