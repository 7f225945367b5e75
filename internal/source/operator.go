package source

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
)

// binary evaluates an operator between constants.
func (p *program) binary(e *ast.BinaryExpr, f *frame) (value, *unknown) {
	x, err := p.constant(e.X, f)
	if err != nil {
		return nil, err
	}
	if x.Kind() == constant.Bool && (e.Op == token.LOR || e.Op == token.LAND) && constant.BoolVal(x) == (e.Op == token.LOR) {
		return x, nil // whatever the other side is
	}
	y, err := p.constant(e.Y, f)
	if err != nil {
		return nil, err
	}
	ordered := x.Kind() == constant.Int || x.Kind() == constant.String
	if x.Kind() == y.Kind() {
		switch e.Op {
		case token.EQL, token.NEQ:
			return constant.MakeBool(constant.Compare(x, e.Op, y)), nil
		case token.LSS, token.LEQ, token.GTR, token.GEQ:
			if ordered {
				return constant.MakeBool(constant.Compare(x, e.Op, y)), nil
			}
		case token.LOR, token.LAND:
			return y, nil
		case token.ADD, token.SUB:
			if x.Kind() == constant.Int {
				return p.fits(constant.BinaryOp(x, e.Op, y), e)
			}
			if x.Kind() == constant.String {
				if z := constant.BinaryOp(x, e.Op, y); len(constant.StringVal(z)) <= maxText {
					return z, nil
				}
				return nil, because(e, "%s is longer than %d bytes", types.ExprString(e), maxText)
			}
		default:
		}
	}
	return nil, because(e, "%s is not evaluated", types.ExprString(e))
}

// fits returns a number that its type can hold: in Go others wrap around.
func (p *program) fits(n constant.Value, e ast.Expr) (value, *unknown) {
	small := constant.Compare(constant.MakeInt64(-128), token.LEQ, n) && constant.Compare(n, token.LSS, constant.MakeInt64(128))
	var t *types.Basic
	ok := false
	if of := p.info.TypeOf(e); of != nil {
		t, ok = of.Underlying().(*types.Basic)
	}
	if !ok || n.Kind() != constant.Int || t.Info()&types.IsUnsigned != 0 && constant.Sign(n) < 0 || !small && t.Kind() != types.Int && t.Kind() != types.Int64 {
		return nil, because(e, "%s is not evaluated: it may not fit its type", types.ExprString(e))
	}
	return n, nil
}

// slice evaluates a part of a string.
func (p *program) slice(e *ast.SliceExpr, f *frame) (value, *unknown) {
	v, err := p.eval(e.X, f)
	if err != nil {
		return nil, err
	}
	x, ok := v.(constant.Value)
	if !ok || x.Kind() != constant.String {
		return nil, because(e, "%s is not evaluated", types.ExprString(e))
	}
	text := constant.StringVal(x)
	bounds := []int64{0, int64(len(text))}
	for i, limit := range []ast.Expr{e.Low, e.High} {
		if limit == nil {
			continue
		}
		n, err := p.constant(limit, f)
		if err != nil {
			return nil, err
		}
		bounds[i], _ = constant.Int64Val(n)
	}
	if bounds[0] < 0 || bounds[0] > bounds[1] || bounds[1] > int64(len(text)) {
		return nil, because(e, "%s is out of range", types.ExprString(e))
	}
	return constant.MakeString(text[bounds[0]:bounds[1]]), nil
}

// constant evaluates an expression to a string, a number or a boolean.
func (p *program) constant(e ast.Expr, f *frame) (constant.Value, *unknown) {
	v, err := p.eval(e, f)
	if err != nil {
		return nil, err
	}
	c, ok := v.(constant.Value)
	if !ok {
		return nil, because(e, "%s is not a constant", types.ExprString(e))
	}
	return c, nil
}

func (p *program) index(e *ast.IndexExpr, f *frame) (value, *unknown) {
	x, err := p.eval(e.X, f)
	if err != nil {
		return nil, err
	}
	i, err := p.constant(e.Index, f)
	if err != nil {
		return nil, err
	}
	var got value
	switch x := x.(type) {
	case list:
		n, exact := constant.Int64Val(i)
		if !exact || n < 0 || n >= int64(len(x)) {
			return nil, because(e, "%s: index %v is out of range", types.ExprString(e), i)
		}
		got = x[n]
	case table:
		for _, kv := range x {
			if k, ok := kv.key.(constant.Value); ok && k.Kind() == i.Kind() && constant.Compare(k, token.EQL, i) {
				got = kv.value
			}
		}
	}
	if got == nil {
		return nil, because(e, "%s is not evaluated", types.ExprString(e))
	}
	return known(got)
}
