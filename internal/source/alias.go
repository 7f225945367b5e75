package source

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
)

// memory is what is written to: a field behind a pointer or in a list, the elements of a slice
// or map, or what a pointer points to. The zero value is any of these.
type memory struct {
	field     *types.Var
	container types.Type
}

// change is a write to memory that other variables may share.
type change struct {
	through ast.Expr // what leads there
	memory
	pos token.Pos
}

// note notes what is written to by an assignment to an expression.
func (p *program) note(e ast.Expr) {
	c := change{pos: e.Pos()}
	switch x := e.(type) {
	case *ast.ParenExpr:
		p.note(x.X)
		return
	case *ast.IndexExpr:
		c.through = x.X
	case *ast.StarExpr:
		c.through = x.X
	case *ast.SelectorExpr:
		sel := p.info.Selections[x]
		if sel == nil {
			return // a variable of another package
		}
		field, ok := sel.Obj().(*types.Var)
		if !ok || !sel.Indirect() { // part of what stands before it
			p.note(x.X)
			return
		}
		c.through, c.field = x.X, field.Origin()
	default:
		return
	}
	if c.field == nil {
		t := p.info.TypeOf(c.through)
		if t == nil {
			return
		}
		if _, array := t.Underlying().(*types.Array); array {
			p.note(c.through)
			return
		}
		if c.container = t.Underlying(); unknownType(c.container) {
			c.container = nil
		}
	}
	p.changes = append(p.changes, c)
}

// unknownType reports whether values of the type may be of others.
func unknownType(t types.Type) bool {
	switch t := types.Unalias(t).(type) {
	case *types.TypeParam, *types.Interface, *types.Signature:
		return true
	case *types.Slice:
		return unknownType(t.Elem())
	case *types.Map:
		return unknownType(t.Key()) || unknownType(t.Elem())
	case *types.Pointer:
		return unknownType(t.Elem())
	}
	return false
}

// flow notes that a value goes into a variable, or into a part of it.
func (p *program) flow(to, value ast.Expr) {
	if to == nil || value == nil {
		return
	}
	ast.Inspect(to, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			if v, ok := p.info.ObjectOf(id).(*types.Var); ok {
				p.goes(value, v)
			}
		}
		return true
	})
}

func (p *program) goes(value ast.Expr, into *types.Var) {
	p.flows[into.Origin()] = append(p.flows[into.Origin()], value)
}

// flowsIn notes what goes into variables, fields and channels in a node.
func (p *program) flowsIn(n ast.Node) {
	one := func(to []ast.Expr, values []ast.Expr) {
		for i, e := range to {
			if len(to) == len(values) {
				p.flow(e, values[i])
			} else if len(values) == 1 {
				p.flow(e, values[0])
			}
		}
	}
	switch n := n.(type) {
	case *ast.ValueSpec:
		names := make([]ast.Expr, len(n.Names))
		for i, name := range n.Names {
			names[i] = name
		}
		one(names, n.Values)
	case *ast.AssignStmt:
		one(n.Lhs, n.Rhs)
	case *ast.RangeStmt:
		p.flow(n.Key, n.X)
		p.flow(n.Value, n.X)
	case *ast.SendStmt:
		p.flow(n.Chan, n.Value)
	case *ast.CompositeLit:
		t := p.info.TypeOf(n)
		if t == nil {
			return
		}
		s, ok := t.Underlying().(*types.Struct)
		for i, e := range n.Elts {
			if kv, keyed := e.(*ast.KeyValueExpr); ok && keyed {
				p.flow(kv.Key, kv.Value)
			} else if ok && i < s.NumFields() {
				p.goes(e, s.Field(i))
			}
		}
	}
}

// changed returns where a variable gets another value, or memory that its value may share.
// Writes are followed when a variable is asked for that they can concern: a program has many,
// and its machines few variables.
func (p *program) changed(obj *types.Var) (token.Pos, bool) {
	p.changes = slices.DeleteFunc(p.changes, func(c change) bool {
		concerned := p.reaches(types.NewPointer(obj.Type()), c.memory)
		if concerned {
			p.spread(c)
		}
		return concerned
	})
	at, ok := p.written[obj]
	return at, ok
}

// spread notes what else changes with a write to memory: every variable from which the value
// may come through which it is written.
func (p *program) spread(c change) {
	seen := make(map[*types.Var]bool)
	for todo := p.mentioned(c.through, c.memory); len(todo) > 0; todo = todo[1:] {
		obj := todo[0]
		if seen[obj] {
			continue
		}
		seen[obj] = true
		p.writes(obj, c.pos)
		for _, e := range p.flows[obj] {
			todo = append(todo, p.mentioned(e, c.memory)...)
		}
	}
}

// passed notes that a call hands a function its arguments, and a method what it is called on.
func (p *program) passed(call *ast.CallExpr, fn *types.Func) {
	sig := fn.Signature()
	if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok && sig.Recv() != nil {
		p.received(fn, sel.X)
	}
	last := sig.Params().Len() - 1
	for i, arg := range call.Args {
		if i <= last || sig.Variadic() {
			p.goes(arg, sig.Params().At(min(i, last)))
		}
	}
}

// received notes that a method may be called on a value, whose address Go takes for a pointer.
func (p *program) received(fn *types.Func, value ast.Expr) {
	p.goes(&ast.UnaryExpr{Op: token.AND, X: value}, fn.Signature().Recv())
}

// mentioned returns the variables and fields from which an expression may have the memory.
func (p *program) mentioned(e ast.Expr, m memory) (all []*types.Var) {
	inside := make(map[*types.Func]bool)
	address := func(e ast.Expr) {
		if obj := p.root(e); obj != nil {
			all = append(all, obj)
		}
	}
	var look func(n ast.Node) bool
	look = func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		if tv, known := p.info.Types[e]; known && tv.IsValue() && !p.reaches(tv.Type, m) {
			return false
		}
		switch e := e.(type) {
		case *ast.Ident:
			if v, ok := p.info.ObjectOf(e).(*types.Var); ok && p.reaches(v.Type(), m) && (!v.IsField() || v.Pkg() == nil || !isLooplab(v.Pkg().Path())) {
				all = append(all, v.Origin())
			}
		case *ast.SliceExpr: // an array, too, shares its memory from then on
			address(e.X)
		case *ast.UnaryExpr:
			if e.Op == token.AND {
				address(e.X)
			}
		case *ast.KeyValueExpr:
			ast.Inspect(e.Value, look)
			return false
		case *ast.CallExpr:
			switch fn := p.callee(e.Fun); {
			case fn == nil:
			case isNewFSM(fn): // a machine keeps nothing of its events
				return false
			case !inside[fn]:
				inside[fn] = true
				for _, result := range p.returned[fn] {
					ast.Inspect(result, look)
				}
			}
		}
		return true
	}
	ast.Inspect(e, look)
	return all
}

// reaches reports whether values of a type may share the memory with others.
func (p *program) reaches(t types.Type, m memory) bool {
	known := p.reach[m]
	if known == nil {
		known = make(map[types.Type]bool)
		p.reach[m] = known
	}
	is, ok := known[t]
	if !ok {
		is = m.in(t, false, make(map[types.Type]bool))
		known[t] = is
	}
	return is
}

// in reports whether a value of a type, which is in memory that is shared or is not, leads to
// the memory. Types that were seen are left out.
func (m memory) in(t types.Type, shared bool, seen map[types.Type]bool) bool {
	if t == nil || seen[t] {
		return false
	}
	seen[t] = shared
	is := m.field == nil && (m.container == nil || types.Identical(t.Underlying(), m.container))
	switch u := t.Underlying().(type) {
	case *types.Slice:
		return is || m.in(u.Elem(), true, seen)
	case *types.Map:
		return is || m.in(u.Key(), true, seen) || m.in(u.Elem(), true, seen)
	case *types.Pointer:
		return is || m.in(u.Elem(), true, seen)
	case *types.Chan:
		return m.in(u.Elem(), true, seen)
	case *types.Array:
		return m.in(u.Elem(), shared, seen)
	case *types.Struct:
		for f := range u.Fields() {
			if shared && f.Origin() == m.field || m.in(f.Type(), shared, seen) {
				return true
			}
		}
	case *types.Tuple:
		for v := range u.Variables() {
			if m.in(v.Type(), shared, seen) {
				return true
			}
		}
	case *types.Interface, *types.Signature:
		return true
	}
	return false
}
