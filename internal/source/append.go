package source

import (
	"go/ast"
	"go/types"
)

// appends notes the appends that write into memory that another slice may have, too: that
// behind a[:n], and the room behind what another append returned, if more than one append
// may take it.
func (p *program) appends() {
	taken := make(map[*types.Var]bool)
	for _, a := range p.appendCalls {
		list := a.call.Args[0]
		shares := isSliced(list)
		for _, obj := range p.mentioned(list, memory{}) {
			again := taken[obj] && obj.Kind() != types.ParamVar || a.in != nil && isGlobal(obj)
			for _, from := range p.flows[obj] {
				if isSliced(from) || p.isAppend(from) && again {
					shares = true
				}
			}
			taken[obj] = true
		}
		if shares {
			p.write(&ast.StarExpr{Star: a.call.Pos(), X: list})
		}
	}
}

// isSliced reports whether an expression is a[:n].
func isSliced(e ast.Expr) bool {
	_, ok := ast.Unparen(e).(*ast.SliceExpr)
	return ok
}

func (p *program) isAppend(e ast.Expr) bool {
	call, ok := ast.Unparen(e).(*ast.CallExpr)
	if !ok {
		return false
	}
	id, ok := ast.Unparen(call.Fun).(*ast.Ident)
	return ok && id.Name == "append" && p.info.Types[id].IsBuiltin()
}

// isGlobal reports whether a variable is one of a package.
func isGlobal(obj *types.Var) bool { return obj.Pkg() != nil && obj.Parent() == obj.Pkg().Scope() }
