package source

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"strings"
)

// A value is what an expression evaluates to: a constant.Value, a list, a record, a
// table, a closure, or opaque.
type value any

type (
	list   []value
	record map[string]value // a struct, by the names of its fields
	table  []pair           // a map
	pair   struct{ key, value value }
	opaque struct{ *unknown } // a part that nothing needs so far, and why it is not known
)

// unknown says which expression cannot be evaluated, and why.
type unknown struct {
	pos token.Pos
	why string
}

func (u *unknown) Error() string { return u.why }

func because(node ast.Node, format string, args ...any) *unknown {
	return &unknown{node.Pos(), fmt.Sprintf(format, args...)}
}

// frame binds the parameters and the variables of a function that is being evaluated.
type frame struct {
	vars  map[types.Object]value
	depth int
}

// What bounds an evaluation: how deep functions and variables may name each other, how
// many expressions one machine may take, and how long a string may become.
const (
	maxDepth = 40
	maxSteps = 1_000_000
	maxText  = 1 << 16
)

func (p *program) eval(e ast.Expr, f *frame) (value, *unknown) {
	p.steps++
	switch {
	case f.depth > maxDepth:
		return nil, because(e, "%s: evaluated %d levels deep without an end", types.ExprString(e), maxDepth)
	case p.steps > maxSteps:
		return nil, because(e, "%s: %d expressions evaluated without an end", types.ExprString(e), maxSteps)
	}
	tv, known := p.info.Types[e]
	if known && tv.Value != nil {
		return tv.Value, nil
	}
	switch e := e.(type) {
	case *ast.ParenExpr:
		return p.eval(e.X, f)
	case *ast.Ident:
		return p.object(e, p.info.ObjectOf(e), f)
	case *ast.SelectorExpr:
		if s := p.info.Selections[e]; s != nil {
			return p.field(e, s, f)
		}
		return p.object(e, p.info.Uses[e.Sel], f)
	case *ast.CompositeLit:
		return p.composite(e, f)
	case *ast.UnaryExpr:
		if e.Op == token.AND {
			return p.eval(e.X, f)
		}
	case *ast.StarExpr:
		return p.eval(e.X, f)
	case *ast.BinaryExpr:
		return p.binary(e, f)
	case *ast.IndexExpr:
		if known && tv.IsValue() {
			return p.index(e, f)
		}
	case *ast.SliceExpr:
		return p.slice(e, f)
	case *ast.CallExpr:
		return p.call(e, f)
	case *ast.FuncLit:
		return nil, because(e, "a function literal is not evaluated")
	}
	return nil, because(e, "%s is not evaluated", types.ExprString(e))
}

// object evaluates what a name stands for.
func (p *program) object(e ast.Expr, obj types.Object, f *frame) (value, *unknown) {
	name := types.ExprString(e)
	switch obj := obj.(type) {
	case *types.Nil:
		return list(nil), nil
	case *types.Var:
		if at, changed := p.changed(obj); changed {
			return nil, &unknown{at, name + " may be changed here, so its value where the machine is made is not known"}
		}
		if v, ok := f.vars[obj]; ok {
			return known(v)
		}
		def, ok := p.defined[obj]
		switch {
		case ok && def == nil:
			return zero(obj.Type(), e)
		case ok:
			return p.eval(def, &frame{vars: f.vars, depth: f.depth + 1})
		case obj.Kind() == types.ParamVar || obj.Kind() == types.RecvVar:
			return nil, &unknown{obj.Pos(), name + " is a parameter: its value depends on the caller"}
		case obj.Pkg() != nil && p.files[obj.Pkg()] == nil:
			return nil, because(e, "%s is a variable of the standard library", name)
		}
		return nil, because(e, "%s has a value that depends on the run", name)
	}
	return nil, because(e, "%s is not evaluated", name)
}

// zero is the value of a variable that is declared without one, and of a missing field.
func zero(t types.Type, at ast.Node) (value, *unknown) {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		switch {
		case u.Info()&types.IsString != 0:
			return constant.MakeString(""), nil
		case u.Info()&types.IsInteger != 0:
			return constant.MakeInt64(0), nil
		case u.Info()&types.IsBoolean != 0:
			return constant.MakeBool(false), nil
		}
	case *types.Slice, *types.Map:
		return list(nil), nil
	case *types.Struct:
		r := record{}
		for f := range u.Fields() {
			r[f.Name()] = part(zero(f.Type(), at))
		}
		return r, nil
	}
	return nil, because(at, "the zero value of %v is not evaluated", t)
}

func (p *program) field(e *ast.SelectorExpr, s *types.Selection, f *frame) (value, *unknown) {
	if s.Kind() != types.FieldVal {
		return nil, because(e, "%s is a method, not its value", types.ExprString(e))
	}
	x, err := p.eval(e.X, f)
	if err != nil {
		return nil, err
	}
	t := s.Recv()
	for _, i := range s.Index() { // through embedded structs
		if ptr, ok := t.Underlying().(*types.Pointer); ok {
			t = ptr.Elem()
		}
		fields, isStruct := t.Underlying().(*types.Struct)
		r, isRecord := x.(record)
		if !isStruct || !isRecord {
			return nil, because(e, "%s is not evaluated", types.ExprString(e))
		}
		x, t = r[fields.Field(i).Name()], fields.Field(i).Type()
	}
	return known(x)
}

func (p *program) composite(e *ast.CompositeLit, f *frame) (value, *unknown) {
	t := p.info.TypeOf(e)
	if t == nil {
		return nil, because(e, "%s is not evaluated: its package has errors", types.ExprString(e))
	}
	if ptr, ok := t.Underlying().(*types.Pointer); ok { // an elided &T
		t = ptr.Elem()
	}
	switch u := t.Underlying().(type) {
	case *types.Slice, *types.Array:
		return p.elements(e, f, u)
	case *types.Map:
		var m table
		for _, elt := range e.Elts {
			kv, ok := elt.(*ast.KeyValueExpr)
			if !ok {
				continue // not in Go that compiles
			}
			key, err := p.eval(kv.Key, f)
			if err != nil {
				return nil, err
			}
			m = append(m, pair{key, p.lazy(kv.Value, f)})
		}
		return m, nil
	case *types.Struct:
		z, _ := zero(t, e)
		r, _ := z.(record) // zero returns one for a struct
		for i, elt := range e.Elts {
			name := u.Field(min(i, u.NumFields()-1)).Name()
			if kv, ok := elt.(*ast.KeyValueExpr); ok {
				name, elt = types.ExprString(kv.Key), kv.Value
			}
			r[name] = p.lazy(elt, f)
		}
		return r, nil
	}
	return nil, because(e, "a literal of type %v is not evaluated", t)
}

// lazy evaluates a part of a value.
func (p *program) lazy(e ast.Expr, f *frame) value { return part(p.eval(e, f)) }

// part returns a part of a value, which may stay unknown if nothing reads it.
func part(v value, err *unknown) value {
	if err != nil {
		return opaque{err}
	}
	return v
}

// known returns a part that is read.
func known(part value) (value, *unknown) {
	if o, ok := part.(opaque); ok {
		return nil, o.unknown
	}
	return part, nil
}

func (p *program) elements(e *ast.CompositeLit, f *frame, t types.Type) (value, *unknown) {
	var all list
	if a, ok := t.(*types.Array); ok && a.Len() < 1<<16 {
		for range a.Len() {
			all = append(all, part(zero(a.Elem(), e)))
		}
	}
	at := 0
	for _, elt := range e.Elts {
		if kv, ok := elt.(*ast.KeyValueExpr); ok {
			key := p.info.Types[kv.Key].Value
			if key == nil {
				return nil, because(kv, "index %s is not evaluated", types.ExprString(kv.Key))
			}
			n, exact := constant.Int64Val(constant.ToInt(key))
			if !exact || n < 0 || n >= 1<<16 {
				return nil, because(kv, "index %s is not evaluated", types.ExprString(kv.Key))
			}
			at, elt = int(n), kv.Value
		}
		for at >= len(all) {
			all = append(all, opaque{because(elt, "an element that the literal leaves out")})
		}
		all[at] = p.lazy(elt, f)
		at++
	}
	return all, nil
}

// text evaluates an expression's value to a string.
func text(v value, at ast.Node) (string, *unknown) {
	switch v := v.(type) {
	case opaque:
		return "", v.unknown
	case constant.Value:
		if v.Kind() == constant.String {
			return constant.StringVal(v), nil
		}
	}
	return "", because(at, "%s is not a string that is known", strings.TrimSpace(fmt.Sprint(v)))
}
