package source

import (
	"go/ast"
	"go/types"
	"iter"
	"slices"
)

// appends notes the appends that write into memory that another slice may have, too: that
// behind a[:n], and the room behind what another append returned, if more than one append
// may take it.
func (p *program) appends() {
	takers := make(map[*types.Var][]*ast.ReturnStmt) // of each append to a variable the return that it is in; nil: none
	for _, a := range p.appendCalls {
		for _, obj := range p.mentioned(a.call.Args[0], memory{}) {
			takers[obj] = append(takers[obj], p.inReturn[a.call])
		}
	}
	given := make(map[*types.Var]int)
	for obj := range takers {
		if obj.Kind() == types.ParamVar {
			for v := range p.givers(obj) {
				given[v]++
			}
		}
	}
	seen := make(map[*types.Var][]*ast.ReturnStmt)
	for _, a := range p.appendCalls {
		list, in := a.call.Args[0], p.inReturn[a.call]
		shares := isSliced(list)
		for _, obj := range p.mentioned(list, memory{}) {
			again := a.in != nil && isGlobal(obj) || slices.ContainsFunc(seen[obj], func(other *ast.ReturnStmt) bool {
				return obj.Kind() != types.ParamVar || in == nil || in == other // of two returns only one is executed
			})
			shares = shares || slices.ContainsFunc(p.flows[obj], func(from ast.Expr) bool { return isSliced(from) || p.isAppend(from) && again })
			if obj.Kind() == types.ParamVar {
				for v := range p.givers(obj) {
					shares = shares || slices.ContainsFunc(p.flows[v], p.isAppend) && (given[v]+len(takers[v]) > 1 || isGlobal(v))
				}
			}
			seen[obj] = append(seen[obj], in)
		}
		if shares {
			p.write(&ast.StarExpr{Star: a.call.Pos(), X: list})
		}
	}
}

// givers yields the variables that calls hand a parameter, each as often as they do.
func (p *program) givers(param *types.Var) iter.Seq[*types.Var] {
	return func(yield func(*types.Var) bool) {
		for _, from := range p.flows[param] {
			for _, v := range p.mentioned(from, memory{}) {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// returning notes which appends are in a return.
func (p *program) returning(r *ast.ReturnStmt) {
	ast.Inspect(r, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			p.inReturn[call] = r
		}
		_, other := n.(*ast.FuncLit)
		return !other
	})
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
