package lastcall_test

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// timePage is the page of every time constant.
const timePage = "docs/time.md"

// TestDocsTime: docs/time.md has every time constant of the code, in the section of its
// package and with its value, and no others.
func TestDocsTime(t *testing.T) {
	text, err := os.ReadFile(timePage)
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, pattern := range []string{".", "admin", "controller", "drain", "grpcadapter", "httpadapter", "internal/*", "kubernetes", "report", "systemd"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, found...)
	}
	code := map[string]string{}
	for _, dir := range dirs {
		if slices.Contains(forTestsOnly, filepath.ToSlash(dir)) {
			continue
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			addTimes(code, cmp.Or(strings.TrimPrefix(filepath.ToSlash(dir), "."), "lastcall"), file)
		}
	}
	if len(code) < 20 {
		t.Fatalf("the code has only %d time constants: the test does not see them", len(code))
	}
	for _, wrong := range differences(code, told(string(text))) {
		t.Error(wrong)
	}
}

// forTestsOnly are packages whose times decide nothing outside of tests.
var forTestsOnly = []string{"internal/busy", "internal/contracttest", "internal/mempipe", "internal/proptest", "internal/tlstest"}

// TestDocsTimeCanFail shows to the comparison one offence of each kind.
func TestDocsTimeCanFail(t *testing.T) {
	const source = `package p
const grace = 10 * time.Millisecond
const other = 2*grace // not a constant of its own
func f() {
	wait(x{limit: time.Second + time.Minute})
	patience := time.Second
	c.within(3 * time.Second)
	d.Round(100 * time.Millisecond)
	if d >= time.Second || d <= -time.Second || d%time.Second != 0 { d = (d + time.Second - 1) / time.Second }
	for { d += time.Second }
}`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	code := map[string]string{}
	addTimes(code, "p", file)
	const page = "### p\n\n- **`grace` 10 ms.** Why.\n- **`limit` 61 s.**\n- **`patience` 1 s.**\n- **`f` 3 s.**\n"
	if wrong := differences(code, told(page)); len(wrong) > 0 {
		t.Errorf("a page that is right is said to be wrong: %q", wrong)
	}
	for old, replacement := range map[string]string{
		"10 ms":                 "20 ms",
		"- **`patience` 1 s.**": "",
		"`limit`":               "`limits`",
		"## p":                  "## q",
		"61 s":                  "a while",
		"### p\n":               "### p\n- **`grace` 10 ms.** Twice.\n",
	} {
		if len(differences(code, told(strings.Replace(page, old, replacement, 1)))) == 0 {
			t.Errorf("with %q for %q nothing is said to be wrong", replacement, old)
		}
	}
}

var (
	section = regexp.MustCompile(`(?m)^### `)
	timeRow = regexp.MustCompile("(?m)^- \\*\\*`(\\w+)` ([^.*]+)\\.\\*\\*")
)

// told returns the times that a page tells: "package name" and the value.
func told(page string) map[string]string {
	all := map[string]string{}
	for _, part := range section.Split(page, -1)[1:] {
		title, rest, _ := strings.Cut(part, "\n")
		for _, m := range timeRow.FindAllStringSubmatch(rest, -1) {
			value := m[2]
			if d, err := time.ParseDuration(strings.ReplaceAll(value, " ", "")); err == nil {
				value = d.String()
			}
			if other, ok := all[title+" "+m[1]]; ok {
				value = other + ", again " + value // each stands once
			}
			all[title+" "+m[1]] = value
		}
	}
	return all
}

// differences returns what the page and the code do not both say.
func differences(code, page map[string]string) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(code)) {
		switch value, ok := page[name]; {
		case !ok:
			all = append(all, fmt.Sprintf("%s does not have %s, which is %s in the code", timePage, name, code[name]))
		case value != code[name]:
			all = append(all, fmt.Sprintf("%s says %s for %s, which is %s in the code", timePage, value, name, code[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(page)) {
		if _, ok := code[name]; !ok {
			all = append(all, fmt.Sprintf("%s has %s, which is not in the code", timePage, name))
		}
	}
	return all
}

// addTimes adds every time that a file writes as a number, by the name of what it is
// given to: a constant, a field, a variable, or else the function around it. Where a
// unit of time only rounds or converts it is not a time.
func addTimes(all map[string]string, dir string, file *ast.File) {
	var above []ast.Node
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil {
			above = above[:len(above)-1]
			return false
		}
		if e, ok := n.(ast.Expr); ok {
			if d, unit, ok := duration(e); ok && unit {
				if name := nameOf(above); !converts(e, above) {
					key, value := dir+" "+name, d.String()
					if other, ok := all[key]; ok && other != value {
						value = other + " and " + value
					}
					all[key] = value
				}
				return false
			}
		}
		above = append(above, n)
		return true
	})
}

// duration returns the value of an expression of numbers and units of time, and whether
// there is a unit in it.
func duration(e ast.Expr) (d time.Duration, unit, ok bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		n, err := strconv.ParseInt(e.Value, 0, 64)
		return time.Duration(n), false, err == nil
	case *ast.ParenExpr:
		return duration(e.X)
	case *ast.SelectorExpr:
		pkg, isName := e.X.(*ast.Ident)
		units := map[string]time.Duration{
			"Nanosecond": time.Nanosecond, "Microsecond": time.Microsecond, "Millisecond": time.Millisecond,
			"Second": time.Second, "Minute": time.Minute, "Hour": time.Hour,
		}
		d, ok := units[e.Sel.Name]
		return d, true, ok && isName && pkg.Name == "time"
	case *ast.BinaryExpr:
		x, unitX, okX := duration(e.X)
		y, unitY, okY := duration(e.Y)
		switch e.Op {
		case token.ADD:
			d = x + y
		case token.SUB:
			d = x - y
		case token.MUL:
			d = time.Duration(int64(x) * int64(y))
		default:
			return 0, false, false
		}
		return d, unitX || unitY, okX && okY
	default:
		return 0, false, false
	}
}

// converts reports whether a time only rounds, counts or compares units: the operand of
// a division, what Round is given, a limit of one unit.
func converts(e ast.Expr, above []ast.Node) bool {
	_, bare := e.(*ast.SelectorExpr)
	for _, n := range slices.Backward(above) {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if n.Op == token.QUO || n.Op == token.REM {
				return true
			}
			if comparison := n.Op == token.GEQ || n.Op == token.LEQ || n.Op == token.GTR || n.Op == token.LSS; comparison && bare {
				return true
			}
		case *ast.AssignStmt:
			return n.Tok == token.ADD_ASSIGN && bare
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "Round" || f.Sel.Name == "Truncate") {
				return true
			}
		case ast.Stmt, ast.Decl:
			return false
		}
	}
	return false
}

// nameOf returns the name of what an expression is given to.
func nameOf(above []ast.Node) string {
	for _, n := range slices.Backward(above) {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok {
				return key.Name
			}
		case *ast.ValueSpec:
			return n.Names[0].Name
		case *ast.AssignStmt:
			if v, ok := n.Lhs[0].(*ast.Ident); ok {
				return v.Name
			}
		case *ast.FuncDecl:
			return n.Name.Name
		}
	}
	return "?"
}
