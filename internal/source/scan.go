package source

import (
	"cmp"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// site is a call, in the function or variable around it.
type site struct {
	call *ast.CallExpr
	pkg  *types.Package
	in   *ast.FuncDecl // nil outside of functions
	name string        // of that function, or else of the variable
}

// scan reads every file outside the standard library: where variables are defined and
// changed, which functions there are, and who calls them.
func (p *program) scan() {
	byPath := func(a, b *types.Package) int { return cmp.Compare(a.Path(), b.Path()) }
	for _, pkg := range slices.SortedFunc(maps.Keys(p.files), byPath) {
		for _, file := range p.files[pkg] {
			for _, decl := range file.Decls {
				p.declaration(pkg, decl)
			}
		}
	}
	for fn := range p.functions {
		for _, s := range p.throughInterfaces(fn) {
			if sel, ok := ast.Unparen(s.call.Fun).(*ast.SelectorExpr); ok {
				p.received(fn, sel.X)
			}
		}
	}
	p.appends()
}

func (p *program) declaration(pkg *types.Package, decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if v, ok := spec.(*ast.ValueSpec); ok {
				if embeds(d.Doc) || embeds(v.Doc) {
					p.write(v.Names[0])
				}
				p.inspect(v, site{pkg: pkg, name: v.Names[0].Name})
			}
		}
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			recv, _, _ := strings.Cut(strings.Trim(types.ExprString(d.Recv.List[0].Type), "*()"), "[")
			name = recv + "." + name
		}
		if fn, ok := p.info.Defs[d.Name].(*types.Func); ok && p.listed[pkg.Path()].whole() {
			p.functions[fn] = d
			p.inspect(d, site{pkg: pkg, in: d, name: name})
		}
	}
}

// embeds reports whether a variable gets the contents of a file.
func embeds(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

func (p *program) inspect(root ast.Node, where site) {
	ast.Inspect(root, func(n ast.Node) bool {
		p.flowsIn(n)
		switch n := n.(type) {
		case *ast.FuncDecl:
			p.returns(where, fieldNames(n.Type.Results)...)
		case *ast.ReturnStmt:
			p.returns(where, n.Results...)
			p.returning(n)
		case *ast.ValueSpec:
			p.declared(n)
		case *ast.AssignStmt:
			p.assigned(n)
		case *ast.IncDecStmt:
			p.write(n.X)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				p.write(n.Key)
				p.write(n.Value)
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				p.write(n.X)
			}
		case *ast.SelectorExpr: // visited after the call that it may name
			p.methodValue(n)
		case *ast.Ident: // the same
			if fn, ok := p.info.Uses[n].(*types.Func); ok && !p.direct[n] {
				p.values[fn.Origin()] = append(p.values[fn.Origin()], use{where.pkg, n, "is used as a value"})
			}
		case *ast.CallExpr:
			at := where
			at.call = n
			p.builtin(at)
			p.dynamic(n)
			if fn := p.callee(n.Fun); fn != nil {
				p.direct[p.named(n.Fun)] = true
				p.passed(n, fn)
				if spec, ok := root.(*ast.ValueSpec); ok && len(spec.Values) == len(spec.Names) {
					i, _ := slices.BinarySearchFunc(spec.Values, n.End(), func(v ast.Expr, end token.Pos) int { return cmp.Compare(v.End(), end) })
					at.name = spec.Names[i].Name
				}
				if p.calls[fn] == nil && isAbstract(fn) {
					p.abstract[fn.Name()] = append(p.abstract[fn.Name()], fn)
				}
				p.calls[fn] = append(p.calls[fn], at)
			}
		}
		return true
	})
}

// returns notes what the function returns in which a node is.
func (p *program) returns(in site, results ...ast.Expr) {
	if fn := p.around(in); fn != nil {
		p.returned[fn] = append(p.returned[fn], results...)
	}
}

func fieldNames(fields *ast.FieldList) (all []ast.Expr) {
	if fields == nil {
		return nil
	}
	for _, field := range fields.List {
		for _, name := range field.Names {
			all = append(all, name)
		}
	}
	return all
}

// methodValue notes the receiver of a method that is not called, but is a value.
func (p *program) methodValue(n *ast.SelectorExpr) {
	if s := p.info.Selections[n]; s == nil || s.Kind() != types.MethodVal || p.direct[n.Sel] {
		return
	}
	if fn := p.callee(n); fn != nil {
		p.received(fn, n.X)
	}
}

func (p *program) declared(n *ast.ValueSpec) {
	for i, name := range n.Names {
		switch {
		case len(n.Values) == len(n.Names):
			p.define(name, n.Values[i])
		case len(n.Values) == 0:
			p.define(name, nil)
		}
	}
}

func (p *program) assigned(n *ast.AssignStmt) {
	for i, lhs := range n.Lhs {
		id, ok := lhs.(*ast.Ident)
		switch {
		case !ok || p.info.Defs[id] == nil:
			p.write(lhs)
		case len(n.Lhs) == len(n.Rhs):
			p.define(id, n.Rhs[i])
		}
	}
}

func (p *program) define(name *ast.Ident, e ast.Expr) {
	if obj := p.info.Defs[name]; obj != nil {
		p.defined[obj] = e
	}
}

// builtin notes what a builtin function writes to.
func (p *program) builtin(s site) {
	call := s.call
	id, ok := ast.Unparen(call.Fun).(*ast.Ident)
	if !ok || len(call.Args) == 0 || !p.info.Types[id].IsBuiltin() {
		return
	}
	switch id.Name {
	case "append":
		p.appendCalls = append(p.appendCalls, s)
	case "copy", "clear", "delete":
		p.write(&ast.StarExpr{Star: call.Pos(), X: call.Args[0]})
	}
}

// dynamic notes that what a function value, a method of an interface, or a function of the
// standard library that orders or removes elements is handed may be changed there; and what
// a pointer points to, by any function that is not read.
func (p *program) dynamic(call *ast.CallExpr) {
	if tv := p.info.Types[ast.Unparen(call.Fun)]; tv.IsType() || tv.IsBuiltin() {
		return
	}
	fn := p.callee(call.Fun)
	plain := fn != nil && !isAbstract(fn) && !rearranges(fn)
	if plain && (fn.Pkg() == nil || p.listed[fn.Pkg().Path()].whole()) {
		return
	}
	for _, arg := range call.Args {
		t := p.info.TypeOf(arg)
		if t == nil {
			continue
		}
		switch t.Underlying().(type) {
		case *types.Slice, *types.Map, *types.Pointer:
			if !plain {
				p.changes = append(p.changes, change{through: arg, pos: arg.Pos()})
			} else if _, ok := t.Underlying().(*types.Pointer); ok {
				p.note(&ast.StarExpr{Star: arg.Pos(), X: arg})
			}
		}
	}
}

// isAbstract reports whether a function is a method of an interface.
func isAbstract(fn *types.Func) bool {
	recv := fn.Signature().Recv()
	return recv != nil && types.IsInterface(recv.Type())
}

// rearranges reports whether a function of the standard library changes elements of what it
// is handed. What such functions do is not read.
func rearranges(fn *types.Func) bool {
	if fn.Pkg() == nil || fn.Signature().Recv() != nil {
		return false
	}
	switch fn.Pkg().Path() + "." + fn.Name() {
	case "sort.Sort", "sort.Stable", "sort.Strings", "sort.Slice", "sort.SliceStable",
		"slices.Sort", "slices.SortFunc", "slices.SortStableFunc", "slices.Reverse", "slices.Delete", "slices.DeleteFunc",
		"slices.Insert", "slices.Replace", "slices.Compact", "slices.CompactFunc",
		"maps.Copy", "maps.DeleteFunc", "maps.Insert":
		return true
	}
	return false
}

// write notes that a variable, or a part of it, gets another value, or that its address
// is taken, after which that may happen anywhere.
func (p *program) write(e ast.Expr) {
	p.note(e)
	obj := p.root(e)
	if obj == nil {
		return
	}
	p.writes(obj, e.Pos())
}

// writes notes that a variable changes, and keeps the first place.
func (p *program) writes(obj *types.Var, at token.Pos) {
	if first, before := p.written[obj]; !before || at < first {
		p.written[obj] = at
	}
}

// root returns the variable of which an expression is a part.
func (p *program) root(e ast.Expr) *types.Var {
	for {
		switch x := e.(type) {
		case *ast.ParenExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.UnaryExpr:
			e = x.X
		case *ast.SelectorExpr:
			if p.info.Selections[x] == nil { // a variable of another package
				e = x.Sel
				continue
			}
			e = x.X
		case *ast.Ident:
			obj, _ := p.info.ObjectOf(x).(*types.Var)
			return obj
		default:
			return nil
		}
	}
}
