// Package source finds state machines in Go packages without running them: the calls of
// NewFSM of github.com/looplab/fsm whose arguments can be evaluated from the text of the
// program.
//
// It reads packages with the go command and go/types, from source. It evaluates
// constants, literals, variables that have one value, concatenations, conversions,
// append, and functions of declarations, ifs, switches and returns. It never guesses:
// what it cannot evaluate it names, with file and line.
package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/looplab/fsm"

	"github.com/lastcall-go/lastcall/viz"
)

// Machine is a state machine that was found.
type Machine struct {
	// Name is the package and the function or variable that makes the machine, for
	// example "order.New"; a second one there is "order.New-2". If two packages have the
	// name, it begins with the import path.
	Name string
	At   string // file:line of the call that makes it
	// Initial is the state in which it starts. If it depends on the run, it is "", and
	// InitialUnknown says why.
	Initial        string
	InitialUnknown string
	Events         fsm.Events
}

// Drawing returns the machine as package viz draws it, without a start if the initial
// state is not known.
func (m Machine) Drawing() viz.Machine {
	if m.InitialUnknown == "" {
		return viz.FromEvents(m.Initial, m.Events)
	}
	drawing := viz.FromEvents("any", m.Events)
	drawing.Initial = ""
	return drawing
}

// Unknown is a machine that cannot be evaluated.
type Unknown struct {
	Name string
	At   string // file:line of the call that makes it
	Why  string // with the file:line of what is not known
}

func (u Unknown) String() string { return fmt.Sprintf("%s: %s: %s", u.At, u.Name, u.Why) }

// Find returns the machines of the packages that the patterns name, in the order of
// their places, and those that it cannot evaluate. Patterns are those of the go command;
// a path may lead into another module. Functions that hand their parameters on to NewFSM
// give one machine for each call of them in these packages.
//
// The error names what is wrong with the patterns, and the compile errors of the packages
// that they name. Find blocks while the go command lists packages, which may load modules;
// the end of ctx ends that.
func Find(ctx context.Context, patterns ...string) ([]Machine, []Unknown, error) {
	all, err := groups(patterns)
	if err != nil {
		return nil, nil, err
	}
	var found finding
	var errs []error
	for _, g := range all {
		p, err := load(ctx, g.dir, g.patterns)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.scan()
		found.search(p)
	}
	machines, unknowns := found.named()
	return machines, unknowns, errors.Join(errs...)
}

// finding is what was found so far.
type finding []place

type place struct {
	pkg  *types.Package
	name string // of the function or variable
	pos  token.Position
	m    Machine
	why  string // the machine is not known; "" if it is
}

// short names what was found by its package, and a package main by its folder.
func (pl place) short() string {
	pkg := pl.pkg.Name()
	switch {
	case pkg != "main":
	case pl.pkg.Path() == "command-line-arguments": // a file was named
		pkg = filepath.Base(filepath.Dir(pl.pos.Filename))
	default:
		pkg = path.Base(pl.pkg.Path())
	}
	return pkg + "." + pl.name
}

// search finds the machines of one program.
func (f *finding) search(p *program) {
	for fn, sites := range p.calls {
		if !isNewFSM(fn) {
			continue
		}
		for _, s := range sites {
			p.steps = 0
			f.evaluate(p, s, s, &frame{})
		}
	}
	for fn := range p.values {
		if isNewFSM(fn) {
			f.indirect(p, fn)
		}
	}
}

func isNewFSM(fn *types.Func) bool {
	return fn.Name() == "NewFSM" && fn.Pkg() != nil && isLooplab(fn.Pkg().Path())
}

// isLooplab reports whether this is the package, in whichever major version.
func isLooplab(path string) bool {
	return regexp.MustCompile(`(^|/vendor/)github\.com/looplab/fsm(/v\d+)?$`).MatchString(path)
}

func (p *program) isTarget(pkg *types.Package) bool { return slices.Contains(p.targets, pkg) }

// evaluate evaluates the arguments of a call of NewFSM. at is the call to which the
// machine belongs: that one, or one of the function around it, whose arguments are bound.
func (f *finding) evaluate(p *program, made, at site, fr *frame) {
	m := Machine{}
	args := made.call.Args
	if len(args) < 2 {
		f.add(p, at, m, because(made.call, "the arguments are not evaluated"))
		return
	}
	events, err := p.events(args[1], fr)
	if err != nil {
		sites := p.callers(made, err)
		if len(sites) == 0 || made != at {
			f.add(p, at, m, err)
			return
		}
		f.indirect(p, p.around(made))
		for _, s := range sites {
			f.evaluate(p, made, s, p.bound(made, s))
		}
		return
	}
	m.Events = events
	if m.Initial, err = p.initial(args[0], made, fr); err != nil {
		m.InitialUnknown = p.because(err)
	}
	f.add(p, at, m, nil)
}

// bound returns the frame of the function around a call of NewFSM for one call of it.
func (p *program) bound(made, s site) *frame {
	inner := &frame{vars: make(map[types.Object]value), depth: 1}
	p.bind(s.call, p.around(made).Signature(), &frame{}, inner)
	return inner
}

// initial evaluates the initial state. If it is a parameter, it is known if all callers
// of the function hand it the same.
func (p *program) initial(e ast.Expr, made site, fr *frame) (string, *unknown) {
	state, err := p.text(e, fr)
	if err == nil {
		return state, nil
	}
	if len(p.indirect(p.around(made))) > 0 {
		return "", err
	}
	for i, s := range p.callers(made, err) {
		other, unknown := p.text(e, p.bound(made, s))
		if unknown != nil || i > 0 && other != state {
			return "", err
		}
		state = other
	}
	if state == "" {
		return "", err
	}
	return state, nil
}

func (p *program) text(e ast.Expr, f *frame) (string, *unknown) {
	v, err := p.eval(e, f)
	if err != nil {
		return "", err
	}
	return text(v, e)
}

// callers returns the calls of the function around a call of NewFSM, if the events are
// unknown because they are one of its parameters.
func (p *program) callers(made site, err *unknown) []site {
	fn := p.around(made)
	if fn == nil {
		return nil
	}
	vars := slices.AppendSeq([]*types.Var{fn.Signature().Recv()}, fn.Signature().Params().Variables())
	if !slices.ContainsFunc(vars, func(v *types.Var) bool { return v != nil && v.Pos() == err.pos }) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(p.calls[fn]), func(s site) bool { return !p.isTarget(s.pkg) })
}

// events evaluates an expression to a slice of EventDesc.
func (p *program) events(e ast.Expr, f *frame) (fsm.Events, *unknown) {
	v, err := p.eval(e, f)
	if err != nil {
		return nil, err
	}
	all, ok := v.(list)
	if !ok {
		return nil, because(e, "%s is not a list that is known", types.ExprString(e))
	}
	var out fsm.Events
	for _, elt := range all {
		elt, err := known(elt)
		if err != nil {
			return nil, err
		}
		r, ok := elt.(record)
		if !ok {
			return nil, because(e, "an element of %s is not evaluated", types.ExprString(e))
		}
		var event fsm.EventDesc
		if event.Name, err = text(r["Name"], e); err != nil {
			return nil, err
		}
		if event.Dst, err = text(r["Dst"], e); err != nil {
			return nil, err
		}
		src, err := known(r["Src"])
		if err != nil {
			return nil, err
		}
		states, _ := src.(list)
		for _, s := range states {
			state, err := text(s, e)
			if err != nil {
				return nil, err
			}
			event.Src = append(event.Src, state)
		}
		out = append(out, event)
	}
	return out, nil
}

func (f *finding) add(p *program, at site, m Machine, err *unknown) {
	if !p.isTarget(at.pkg) {
		return
	}
	pl := place{pkg: at.pkg, name: at.name, pos: p.fset.Position(at.call.Pos()), m: m}
	if err != nil {
		pl.why = p.because(err)
	}
	*f = append(*f, pl)
}

func (p *program) because(err *unknown) string {
	return position(p.fset.Position(err.pos)) + ": " + err.why
}

// position returns file:line, relative to the working directory where that is shorter.
func position(pos token.Position) string {
	name := pos.Filename
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, name); err == nil && len(rel) < len(name) {
			name = rel
		}
	}
	return fmt.Sprintf("%s:%d", filepath.ToSlash(name), pos.Line)
}

// named sorts what was found by place, and names it.
func (f *finding) named() (machines []Machine, unknowns []Unknown) {
	slices.SortFunc(*f, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.pkg.Path(), b.pkg.Path()), cmp.Compare(a.pos.Filename, b.pos.Filename), cmp.Compare(a.pos.Offset, b.pos.Offset))
	})
	paths := make(map[string]string) // the import path of each name
	twice := make(map[string]bool)
	for _, pl := range *f {
		short := pl.short()
		if other, ok := paths[short]; ok && other != pl.pkg.Path() {
			twice[short] = true
		}
		paths[short] = pl.pkg.Path()
	}
	count := make(map[string]int)
	for _, pl := range *f {
		name := pl.short()
		if twice[name] {
			name = pl.pkg.Path() + "." + pl.name
		}
		count[name]++
		if n := count[name]; n > 1 {
			name = fmt.Sprintf("%s-%d", name, n)
		}
		if pl.why != "" {
			unknowns = append(unknowns, Unknown{name, position(pl.pos), pl.why})
			continue
		}
		pl.m.Name, pl.m.At = strings.TrimSpace(name), position(pl.pos)
		machines = append(machines, pl.m)
	}
	return machines, unknowns
}
