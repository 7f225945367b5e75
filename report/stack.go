package report

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/lastcall-go/lastcall"
)

// Stack is where goroutines stood that worked at the same thing and stood at the same
// line: one, or several.
type Stack struct {
	// Of is what they worked at: of a call the text of [Step.Subject], for example
	// `closer "postgres"`, of work in flight the Name of the lastcall.Work. HTTP requests
	// whose pattern was not known as they began are known together, as [StackHTTP].
	Of    string `json:"of"`
	Count int    `json:"count,omitempty"` // how many goroutines; 0 counts as 1

	Func string `json:"func"` // the innermost function of the program's own, or of a library if there is none
	File string `json:"file"`
	Line int    `json:"line"`
	In   string `json:"in,omitempty"` // the function that it has called and that has not returned, for example "sync.(*Mutex).Lock"; "" if it runs

	// Leaked: the runtime has found that no goroutine can wake it any more. False is
	// not a verdict: it may be lost all the same. Go 1.27 knows, and Go 1.26 does not.
	Leaked bool `json:"leaked,omitempty"`

	Frames []string `json:"frames,omitempty"` // the whole stack, innermost first: "function file:line"; at most 32
}

// Place returns where it stands in one line: "/src/watch.go:42 (main.watch, in
// sync.(*Mutex).Lock)".
func (s Stack) Place() string {
	text := fmt.Sprintf("%s:%d (%s", s.File, s.Line, path.Base(s.Func))
	if s.In != "" {
		text += ", in " + waiting(s.In)
	}
	text += ")"
	if s.Leaked {
		text += ", which never comes back"
	}
	return oneLine(text)
}

// waiting returns the operation of the language for which a function of package runtime
// stands, or the function.
func waiting(in string) string {
	switch in {
	case "runtime.chanrecv", "runtime.chanrecv1", "runtime.chanrecv2":
		return "channel receive"
	case "runtime.chansend", "runtime.chansend1":
		return "channel send"
	case "runtime.selectgo", "runtime.block":
		return "select"
	}
	return path.Base(in)
}

// maxPlaces is how many lines of code stand in a text about one name at most.
const maxPlaces = 3

// placesOf returns where the goroutines of some work stand: the lines with most of
// them, and the one with least, which is the one that is unlike the others.
func placesOf(all []Stack, w lastcall.Work) string {
	here := StacksOf(all, w)
	slices.SortStableFunc(here, func(a, b Stack) int { return cmp.Compare(b.Count, a.Count) })
	more := len(here) - maxPlaces
	if more > 0 {
		here = append(here[:maxPlaces-1], here[len(here)-1])
	}
	var texts []string
	for _, s := range here {
		text := s.Place()
		if s.Count != w.Running && s.Count > 0 {
			text += fmt.Sprintf(" x%d", s.Count)
		}
		texts = append(texts, text)
	}
	switch {
	case more == 1:
		texts = append(texts, "and 1 more line")
	case more > 1:
		texts = append(texts, fmt.Sprintf("and %d more lines", more))
	}
	return strings.Join(texts, "; ")
}

// StackHTTP is the value of Stack.Of for HTTP requests whose pattern was not known when they
// began.
const StackHTTP = "HTTP"

// StacksOf returns the stacks that belong, or may belong, to some work: those with its name. If
// those are fewer goroutines than there are HTTP requests, it also returns the stacks of
// requests without a name ([StackHTTP]).
func StacksOf(all []Stack, w lastcall.Work) (found []Stack) {
	n := 0
	for _, s := range all {
		if s.Of == w.Name {
			n += max(1, s.Count)
			found = append(found, s)
		}
	}
	if n >= w.Running || w.Kind != lastcall.WorkRequest {
		return found
	}
	for _, s := range all {
		if s.Of == StackHTTP {
			found = append(found, s)
		}
	}
	return found
}
