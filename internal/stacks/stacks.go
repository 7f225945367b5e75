// Package stacks finds the goroutines that work at something by a label, and the lines of
// code where they stand.
//
// It reads the goroutine profile of runtime/pprof, for which the program stands still for
// milliseconds also with 100,000 goroutines; runtime.Stack stops it for a second.
package stacks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
)

// Label is the key of the goroutine label that says what a goroutine works at.
const Label = "lastcall"

// HTTP is the label of all HTTP requests.
const HTTP = "HTTP"

// Of returns a context with the label: for pprof.SetGoroutineLabels, and for the code
// that runs, so that a pprof.Do in it keeps the label.
func Of(ctx context.Context, what string) context.Context {
	return pprof.WithLabels(ctx, pprof.Labels(Label, what))
}

// Stack is where goroutines stand that work at the same thing.
type Stack struct {
	Of     string
	Count  int
	Func   string // the innermost function of the program's own, or what comes nearest
	File   string
	Line   int
	In     string // what that has called; "" if it has called nothing
	Leaked bool
	Frames []string // "function file:line", innermost first
}

// SamePlace reports whether goroutines work at the same thing and stand at the same line.
func (s Stack) SamePlace(o Stack) bool {
	return s.Of == o.Of && s.Func == o.Func && s.File == o.File && s.Line == o.Line && s.In == o.In
}

// maxFrames is how many frames of a stack are kept, and maxStacks how many stacks.
const (
	maxFrames = 32
	maxStacks = 1000
)

// Take returns where the goroutines stand that have the label and run in the call that
// it is of: goroutines that such a call has started, which have the label as well, are
// left out. It takes milliseconds with 10,000 goroutines. It blocks while another
// goroutine profile is taken.
func Take() ([]Stack, error) { return take("goroutine") }

// TakeLeaked returns those of which the runtime has found that nothing can wake them; none
// where it does not look for them. It runs a garbage collection.
func TakeLeaked() ([]Stack, error) {
	if pprof.Lookup("goroutineleak") == nil {
		return nil, nil
	}
	return take("goroutineleak")
}

func take(name string) ([]Stack, error) {
	out := &limited{left: maxProfile}
	if err := pprof.Lookup(name).WriteTo(out, 0); err != nil {
		return nil, err
	}
	p, err := parse(&out.buffer)
	if err != nil {
		return nil, err
	}
	return p.stacks(modules()), nil
}

// limited keeps at most so many bytes.
type limited struct {
	buffer bytes.Buffer
	left   int
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, errors.New("stacks: the profile is too large")
	}
	l.left -= len(p)
	return l.buffer.Write(p)
}

type frame struct {
	name, file string
	line       int64
}

// stacks returns the stacks with the label, those of one thing and place together.
func (p *profile) stacks(known []string) []Stack {
	var all []Stack
	index := map[string]int{}
	for _, s := range p.samples {
		what, ok := p.what(s)
		if !ok {
			continue
		}
		frames, ok := p.frames(s)
		if !ok {
			continue
		}
		at, in := place(frames, known)
		one := Stack{Of: what, Count: int(s.count), Func: at.name, File: at.file, Line: int(at.line), In: in}
		key := fmt.Sprint(one.Of, "\x00", one.Func, one.File, one.Line, one.In)
		if i, ok := index[key]; ok {
			all[i].Count += one.Count
			continue
		}
		if len(all) == maxStacks {
			continue
		}
		for _, f := range frames[:min(len(frames), maxFrames)] {
			one.Frames = append(one.Frames, fmt.Sprintf("%s %s:%d", f.name, f.file, f.line))
		}
		index[key] = len(all)
		all = append(all, one)
	}
	return all
}

// what returns the label of a sample.
func (p *profile) what(s sample) (string, bool) {
	for _, l := range s.labels {
		if p.text(l[0]) == Label {
			return p.text(l[1]), true
		}
	}
	return "", false
}

// frames returns the frames of a sample, up to the call that the label is of.
func (p *profile) frames(s sample) (frames []frame, ok bool) {
	for _, id := range s.locations {
		for _, l := range p.locations[id] {
			f := p.functions[l.function]
			one := frame{withoutTypes(p.text(f.name)), p.text(f.file), l.number}
			if isRoot(one.name) {
				return frames, len(frames) > 0
			}
			frames = append(frames, one)
		}
	}
	return nil, false
}

// withoutTypes returns the name of a function with "..." in place of its type arguments, as in
// a traceback: the compiler's names for them are long hashes.
func withoutTypes(name string) string {
	from, to := strings.Index(name, "["), strings.LastIndex(name, "]")
	if from < 0 || to < from {
		return name
	}
	return name[:from+1] + "..." + name[to:]
}

const module = "github.com/lastcall-go/lastcall/"

// isRoot reports whether a function of ours is the one that calls user code.
func isRoot(name string) bool {
	name, ours := strings.CutPrefix(name, module)
	if !ours {
		return false
	}
	switch name {
	case "controller.guard", "grpcadapter.(*Server).unary", "grpcadapter.(*Server).stream",
		"httpadapter.(*handler).ServeHTTP", "drain.(*Handle).run", "internal/foreign.(*Calls).watch":
		return true
	}
	return false
}

// place returns the frame that a reader looks for: the innermost one of the program's own
// code, without any that of a library, and else what was called of the standard library, or
// the adapter that waits; and what that frame has called.
func place(frames []frame, known []string) (at frame, in string) {
	best := -1
	for want := ownCode; want <= plumbing && best < 0; want++ {
		best = slices.IndexFunc(frames, func(f frame) bool { return rank(f, known) == want })
	}
	outermost := func(is func(string) bool) { // which is what was called
		for i := len(frames) - 1; i >= 0 && best < 0; i-- {
			if is(frames[i].name) {
				best = i
			}
		}
	}
	if outermost(isCalled); best < 0 {
		best = slices.IndexFunc(frames, func(f frame) bool { return isAdapter(f.name) })
	}
	outermost(isSync)
	if best < 0 {
		best = slices.IndexFunc(frames, func(f frame) bool { return rank(f, known) == ours })
	}
	if best = max(best, 0); best > 0 {
		in = frames[best-1].name
	}
	return frames[best], in
}

// How near code is to the reader.
const (
	ownCode  = iota // of the main module
	library         // of another module
	plumbing        // of gRPC: the same in any program
	standard        // of the standard library
	ours            // of this module
)

func rank(f frame, known []string) int {
	switch {
	case strings.HasPrefix(f.name, module) && !strings.HasSuffix(f.file, "_test.go"):
		return ours
	case strings.HasPrefix(f.name, "google.golang.org/grpc"):
		return plumbing
	case strings.HasPrefix(f.name, "main.") || len(known) > 0 && isOf(f.name, known[0]):
		return ownCode
	case isOutside(f.name) || slices.ContainsFunc(known, func(m string) bool { return isOf(f.name, m) }):
		return library
	default:
		return standard
	}
}

// isSync reports whether a function of the standard library only waits.
func isSync(name string) bool {
	return !strings.HasPrefix(name, module) && !strings.HasPrefix(name, "runtime.")
}

// isCalled reports whether a function of the standard library does more than to wait.
func isCalled(name string) bool {
	return isSync(name) && !strings.HasPrefix(name, "sync.") && !strings.HasPrefix(name, "internal/")
}

// isAdapter reports whether a function of this module is more than the one that calls.
func isAdapter(name string) bool {
	rest, is := strings.CutPrefix(name, module)
	return is && !strings.HasPrefix(rest, "controller.")
}

// isOutside reports whether the path of a function's package begins with a domain, which
// no path of the standard library does.
func isOutside(name string) bool {
	domain, _, ok := strings.Cut(name, "/")
	return ok && strings.Contains(domain, ".")
}

// isOf reports whether a function is of a package of a module.
func isOf(name, module string) bool {
	rest, ok := strings.CutPrefix(name, module)
	return ok && module != "" && (strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "_test."))
}

// modules returns the paths of the modules that the program is built from, the main one
// first.
func modules() []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	all := []string{info.Main.Path}
	for _, m := range info.Deps {
		all = append(all, m.Path)
	}
	return all
}
