package source

import (
	"go/ast"
	"go/types"
	"slices"
)

// use is a place where a function is not called, or called under another name.
type use struct {
	pkg *types.Package
	at  ast.Node
	how string
}

// around returns the function around a call; nil outside of functions.
func (p *program) around(s site) *types.Func {
	if s.in == nil {
		return nil
	}
	fn, _ := p.info.Defs[s.in.Name].(*types.Func)
	return fn
}

// indirect returns the places from which a function may be called with arguments that are
// not known: where it is used as a value, and calls of a method of an interface that
// it implements.
func (p *program) indirect(fn *types.Func) []use {
	if fn == nil {
		return nil
	}
	all := slices.Clone(p.values[fn])
	for _, s := range p.throughInterfaces(fn) {
		all = append(all, use{s.pkg, s.call, "is called through an interface"})
	}
	return all
}

// throughInterfaces returns the calls of methods of interfaces that may be calls of a method.
func (p *program) throughInterfaces(fn *types.Func) (all []site) {
	recv := fn.Signature().Recv()
	if recv == nil {
		return nil
	}
	for _, method := range p.abstract[fn.Name()] {
		if i, ok := method.Signature().Recv().Type().Underlying().(*types.Interface); ok && types.Implements(recv.Type(), i) {
			all = append(all, p.calls[method]...)
		}
	}
	return all
}

// indirect adds those places in the packages that the patterns name.
func (f *finding) indirect(p *program, fn *types.Func) {
	for _, u := range p.indirect(fn) {
		if p.isTarget(u.pkg) {
			why := p.because(because(u.at, "%s %s: what it is called with is not known", fn.Name(), u.how))
			*f = append(*f, place{pkg: u.pkg, name: fn.Name(), pos: p.fset.Position(u.at.Pos()), why: why})
		}
	}
}

// named returns the identifier of the function in a call; nil if it is a value, or a method
// whose receiver is the first argument.
func (p *program) named(fun ast.Expr) *ast.Ident {
	switch x := ast.Unparen(fun).(type) {
	case *ast.Ident:
		return x
	case *ast.SelectorExpr:
		if s := p.info.Selections[x]; s == nil || s.Kind() == types.MethodVal {
			return x.Sel
		}
	case *ast.IndexExpr: // of a generic function
		return p.named(x.X)
	case *ast.IndexListExpr:
		return p.named(x.X)
	}
	return nil
}

// callee returns the function that an expression names; nil if it is a value.
func (p *program) callee(fun ast.Expr) *types.Func {
	if id := p.named(fun); id != nil {
		if fn, ok := p.info.Uses[id].(*types.Func); ok {
			return fn.Origin()
		}
	}
	return nil
}
