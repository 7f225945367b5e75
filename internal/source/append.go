package source

import (
	"go/ast"
	"go/types"
)

// appendCall is a call of append, in the function around it.
type appendCall struct {
	call *ast.CallExpr
	in   *ast.FuncDecl // nil outside of functions
}

// appends notes the appends that write into memory that another slice may have, too: that
// behind a[:n], and the room behind what another append returned, if more than one append
// may take it.
func (p *program) appends() {
	taken := make(map[types.Object]bool)
	for _, a := range p.appendCalls {
		list := a.call.Args[0]
		shares := isSliced(list)
		for _, obj := range p.mentioned(list, memory{}) {
			for _, from := range p.flows[obj] {
				if isSliced(from) || p.isAppend(from) && (taken[obj] || a.in != nil && isGlobal(obj)) {
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
func isGlobal(obj types.Object) bool { return obj.Pkg() != nil && obj.Parent() == obj.Pkg().Scope() }
