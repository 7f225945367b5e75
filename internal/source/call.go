package source

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"maps"
)

// call evaluates a conversion, append, and functions that are made of declarations,
// switches, ifs and returns.
func (p *program) call(e *ast.CallExpr, f *frame) (value, *unknown) {
	fun := ast.Unparen(e.Fun)
	tv := p.info.Types[fun]
	switch {
	case tv.IsType():
		return p.convert(e, tv.Type, f)
	case tv.IsBuiltin():
		switch id, _ := fun.(*ast.Ident); {
		case id != nil && id.Name == "append":
			return p.appended(e, f)
		case id != nil && id.Name == "len":
			return p.length(e, f)
		}
		return nil, because(e, "%s is not evaluated", types.ExprString(e))
	}
	if lit, ok := fun.(*ast.FuncLit); ok {
		if sig, ok := p.info.TypeOf(lit).(*types.Signature); ok {
			return p.run(e, sig, lit.Body, f)
		}
	}
	fn := p.callee(fun)
	decl := p.functions[fn]
	if decl == nil || decl.Body == nil {
		return nil, because(e, "the call of %s is not evaluated", types.ExprString(fun))
	}
	return p.run(e, fn.Signature(), decl.Body, f)
}

func (p *program) convert(e *ast.CallExpr, to types.Type, f *frame) (value, *unknown) {
	v, err := p.eval(e.Args[0], f)
	if err != nil {
		return nil, err
	}
	c, isConst := v.(constant.Value)
	basic, isBasic := to.Underlying().(*types.Basic)
	if isConst && (!isBasic || basic.Info()&types.IsString != 0 && c.Kind() != constant.String) {
		return nil, because(e, "the conversion %s is not evaluated", types.ExprString(e))
	}
	if isConst && isBasic && basic.Info()&types.IsInteger != 0 {
		return p.fits(c, e)
	}
	return v, nil
}

// appended evaluates append(a, b, c) and append(a, b...).
func (p *program) appended(e *ast.CallExpr, f *frame) (value, *unknown) {
	var all list
	for i, arg := range e.Args {
		spread := i == 0 || e.Ellipsis.IsValid() && i == len(e.Args)-1
		if !spread {
			all = append(all, p.lazy(arg, f))
			continue
		}
		v, err := p.eval(arg, f)
		if err != nil {
			return nil, err
		}
		l, ok := v.(list)
		if !ok {
			return nil, because(arg, "%s is not a list that is known", types.ExprString(arg))
		}
		all = append(all, l...)
	}
	return all, nil
}

func (p *program) length(e *ast.CallExpr, f *frame) (value, *unknown) {
	v, err := p.eval(e.Args[0], f)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case list:
		return constant.MakeInt64(int64(len(v))), nil
	case constant.Value:
		if v.Kind() == constant.String {
			return constant.MakeInt64(int64(len(constant.StringVal(v)))), nil
		}
	}
	return nil, because(e, "%s is not evaluated", types.ExprString(e))
}

// run evaluates a function with what the call hands it.
func (p *program) run(e *ast.CallExpr, sig *types.Signature, body *ast.BlockStmt, f *frame) (value, *unknown) {
	inner := &frame{vars: maps.Clone(f.vars), depth: f.depth + 1}
	if inner.vars == nil {
		inner.vars = make(map[types.Object]value)
	}
	p.bind(e, sig, f, inner)
	v, err := p.statements(body.List, inner)
	switch {
	case err != nil:
		return nil, err
	case v == nil:
		return nil, because(e, "the call of %s is not evaluated: it returns in no way that is known", types.ExprString(e.Fun))
	}
	return known(v)
}

// bind gives each parameter the value of its argument, and the receiver that of what the
// method is called on.
func (p *program) bind(e *ast.CallExpr, sig *types.Signature, outer, inner *frame) {
	if recv := sig.Recv(); recv != nil {
		inner.vars[recv] = opaque{because(e, "the call of %s is not evaluated", types.ExprString(e.Fun))}
		if sel, ok := ast.Unparen(e.Fun).(*ast.SelectorExpr); ok {
			if s := p.info.Selections[sel]; s != nil && s.Kind() == types.MethodVal && len(s.Index()) == 1 {
				inner.vars[recv] = p.lazy(sel.X, outer)
			}
		}
	}
	for i := range sig.Params().Len() {
		obj := sig.Params().At(i)
		switch {
		case sig.Variadic() && i == sig.Params().Len()-1 && !e.Ellipsis.IsValid():
			rest := list{}
			for _, arg := range e.Args[min(i, len(e.Args)):] {
				rest = append(rest, p.lazy(arg, outer))
			}
			inner.vars[obj] = rest
		case i < len(e.Args):
			inner.vars[obj] = p.lazy(e.Args[i], outer)
		}
	}
}

// statements evaluates a body up to the return; the value is nil if there is none. Variables that
// are changed on the way are not known: see object.
func (p *program) statements(body []ast.Stmt, f *frame) (v value, err *unknown) {
	for _, stmt := range body {
		switch s := stmt.(type) {
		case *ast.ReturnStmt:
			if len(s.Results) != 1 {
				return nil, because(s, "a return of %d values is not evaluated", len(s.Results))
			}
			return p.eval(s.Results[0], f)
		case *ast.AssignStmt:
			if s.Tok != token.DEFINE {
				return nil, because(s, "this assignment is not evaluated")
			}
		case *ast.DeclStmt, *ast.EmptyStmt:
		case *ast.BlockStmt:
			v, err = p.statements(s.List, f)
		case *ast.IfStmt:
			v, err = p.branch(s, f)
		case *ast.SwitchStmt:
			v, err = p.choose(s, f)
		default:
			return nil, because(s, "this statement is not evaluated")
		}
		if v != nil || err != nil {
			return v, err
		}
	}
	return nil, nil
}

func (p *program) branch(s *ast.IfStmt, f *frame) (value, *unknown) {
	if s.Init != nil {
		return nil, because(s, "this statement is not evaluated")
	}
	cond, err := p.constant(s.Cond, f)
	switch {
	case err != nil:
		return nil, err
	case cond.Kind() == constant.Bool && constant.BoolVal(cond):
		return p.statements(s.Body.List, f)
	case s.Else != nil:
		return p.statements([]ast.Stmt{s.Else}, f)
	}
	return nil, nil
}

// choose evaluates a switch over a constant, or over conditions.
func (p *program) choose(s *ast.SwitchStmt, f *frame) (value, *unknown) {
	if s.Init != nil {
		return nil, because(s, "this switch is not evaluated")
	}
	tag := constant.MakeBool(true)
	if s.Tag != nil {
		var err *unknown
		if tag, err = p.constant(s.Tag, f); err != nil {
			return nil, err
		}
	}
	var fallback []ast.Stmt
	for _, stmt := range s.Body.List {
		clause, _ := stmt.(*ast.CaseClause) // a switch has no other statement
		if clause.List == nil {
			fallback = clause.Body
		}
		for _, e := range clause.List {
			c, err := p.constant(e, f)
			if err != nil {
				return nil, err
			}
			if c.Kind() == tag.Kind() && constant.Compare(c, token.EQL, tag) {
				return p.statements(clause.Body, f)
			}
		}
	}
	return p.statements(fallback, f)
}
