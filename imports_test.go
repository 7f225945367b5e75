package lastcall_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The house has floors, and imports run downward only. A package that is not
// listed here fails the test: say on which floor it stands.

const module = "github.com/lastcall-go/lastcall"

// floors says which packages of ours the files of a package may import. Files of
// tests may import what they like.
var floors = map[string][]string{
	"":            {}, // the contract: the standard library alone
	"fsm":         {},
	"transitions": {"fsm"},
	"viz":         {"", "fsm", "internal/layered"},
	"viz/viztest": {"viz"},
	"report":      {"", "fsm"},
	"report/draw": {"", "fsm", "transitions", "report", "viz"},
	"controller":  {"", "fsm", "transitions", "report", "internal/pid1", "internal/foreign", "internal/connset", "internal/stacks"},

	"internal/foreign":  {"", "internal/stacks"},
	"internal/stacks":   {},
	"internal/inflight": {""},
	"internal/connset":  {"internal/foreign", "internal/sock"},
	"internal/layered":  {},
	"internal/httpconn": {"internal/foreign", "internal/connset", "internal/stacks"},
	"internal/numbers":  {"", "fsm", "report"},
	"internal/pid1":     {},
	"internal/response": {},
	"internal/sock":     {},
	"internal/source":   {"viz"},

	"grpcadapter": {"", "internal/foreign", "internal/inflight", "internal/connset", "internal/sock", "internal/stacks"},
	"httpadapter": {"", "internal/foreign", "internal/inflight", "internal/connset", "internal/httpconn", "internal/response", "internal/stacks"},
	"drain":       {"", "internal/foreign", "internal/inflight", "internal/connset", "internal/stacks", "internal/sock"},
	"kubernetes":  {""},
	"systemd":     {"", "controller", "report"},
	"slogadapter": {"controller", "report"},
	"admin":       {"", "fsm", "report", "httpadapter", "internal/foreign"},

	"cmd/lastcall": {"", "fsm", "transitions", "controller", "report", "grpcadapter", "kubernetes", "viz", "report/draw", "internal/source"},
}

// outside says which packages, or single files, of ours may import a module of
// somebody else.
var outside = map[string][]string{
	"github.com/looplab/fsm":       {"fsm/machine.go", "viz/looplab.go", "internal/source/find.go"},
	"github.com/rs/zerolog":        {"controller", "cmd/lastcall"},
	"github.com/mattn/go-isatty":   {"controller", "cmd/lastcall"},
	"google.golang.org/grpc":       {"grpcadapter", "cmd/lastcall"},
	"google.golang.org/protobuf":   {"cmd/lastcall"},
	"golang.org/x/sys":             {"controller", "grpcadapter", "internal/sock", "cmd/lastcall"},
	"github.com/coreos/go-systemd": {"systemd"},
}

// testOnly are imports that only files of tests have.
var testOnly = []string{
	"testing", "net/http/httptest", "pgregory.net/rapid", "go.uber.org/goleak",
	"google.golang.org/grpc/test", "google.golang.org/grpc/interop",
	module + "/internal/busy", module + "/internal/mempipe", module + "/internal/tlstest", module + "/shutdowntest", module + "/internal/contracttest", module + "/internal/proptest",
}

// forTests are packages that only tests import, and that import what tests do.
var forTests = []string{"shutdowntest", "shutdowntest/faults", "internal/busy", "internal/mempipe", "internal/tlstest", "internal/contracttest", "internal/proptest"}

// pure is what package fsm may import of the standard library: no clock, no
// goroutine, no I/O.
var pure = []string{
	"cmp", "context", "errors", "fmt", "iter", "maps", "slices", "strconv", "strings", "sync/atomic", "unicode", "unicode/utf8",
}

// shared has the one variable that a file may have because the things of others that it
// knows have no room for it: of each gRPC server, which adapters it has; of the signals,
// which are the process's, those that a run still listens to after its end; of the test program's flags, the one
// that rewrites drawings.
var shared = map[string]string{"grpcadapter/build.go": "rooms", "controller/process.go": "process", "viz/viztest/keep.go": "update"}

// Names that say nothing about what is inside, and the longest file that a reader
// can hold in his head.
var noNames = []string{"pkg", "util", "utils", "common", "helper", "helpers", "misc", "lib"}

const maxLines = 350

func TestImportFloorsAndStyle(t *testing.T) {
	files := map[string][]byte{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || name != "." && strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go" && d.Name() != "go.mod":
			return nil
		}
		files[filepath.ToSlash(name)], err = os.ReadFile(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d files were found: the test does not run at the root of the module", len(files))
	}
	for _, wrong := range violations(files) {
		t.Error(wrong)
	}
}

// TestFloorsCanFail shows to violations one offence of each kind.
func TestFloorsCanFail(t *testing.T) {
	const ours = module + "/"
	file := func(pkg string, imports ...string) string {
		return "package " + pkg + "\nimport (\n\"" + strings.Join(imports, "\"\n\"") + "\"\n)\n"
	}
	tests := map[string]struct {
		name, text string
		want       string // "" if nothing is wrong
	}{
		"fsm imports ours":                  {"fsm/a.go", file("fsm", ours+"transitions"), "fsm/a.go: package fsm does not import " + ours + "transitions"},
		"controller imports an adapter":     {"controller/a.go", file("controller", ours+"grpcadapter"), "does not import"},
		"transitions import the top":        {"transitions/a.go", file("transitions", ours+"controller"), "does not import"},
		"viz imports the controller":        {"viz/a.go", file("viz", ours+"controller"), "does not import"},
		"a test imports upward":             {"fsm/a_test.go", file("fsm_test", ours+"transitions"), ""},
		"the command imports all":           {"cmd/lastcall/a.go", file("main", ours+"fsm", ours+"viz"), ""},
		"the root imports ours":             {"a.go", file("lastcall", ours+"fsm"), "does not import"},
		"the root imports a module":         {"a.go", file("lastcall", "github.com/rs/zerolog"), "github.com/rs/zerolog is imported"},
		"a test at the root":                {"a_test.go", file("lastcall_test", "testing", "pgregory.net/rapid"), ""},
		"a package on no floor":             {"attic/a.go", "package attic\n", "stands on no floor"},
		"looplab in the wrong file":         {"fsm/table.go", file("fsm", "github.com/looplab/fsm"), "github.com/looplab/fsm is imported"},
		"looplab in its file":               {"fsm/machine.go", file("fsm", "github.com/looplab/fsm"), ""},
		"zerolog in the adapter":            {"grpcadapter/a.go", file("grpcadapter", "github.com/rs/zerolog"), "github.com/rs/zerolog is imported"},
		"grpc in the controller":            {"controller/a.go", file("controller", "google.golang.org/grpc/status"), "google.golang.org/grpc/status is imported"},
		"grpc in the adapter":               {"grpcadapter/a.go", file("grpcadapter", "google.golang.org/grpc/status"), ""},
		"a module with a similar name":      {"grpcadapter/a.go", file("grpcadapter", "google.golang.org/grpcx"), "google.golang.org/grpcx is imported"},
		"a module that nobody spoke of":     {"viz/a.go", file("viz", "example.com/x"), "example.com/x is imported"},
		"rapid in a file that ships":        {"controller/a.go", file("controller", "pgregory.net/rapid"), "only files of tests import pgregory.net/rapid"},
		"testing in a file that ships":      {"viz/a.go", file("viz", "testing/fstest"), "only files of tests import testing/fstest"},
		"test connections in an adapter":    {"httpadapter/a.go", file("httpadapter", ours+"internal/mempipe"), "only files of tests"},
		"bufconn in the command":            {"cmd/lastcall/a.go", file("main", "google.golang.org/grpc/test/bufconn"), "only files of tests"},
		"a clock in fsm":                    {"fsm/a.go", file("fsm", "time"), "fsm is pure and does not import time"},
		"a mutex in fsm":                    {"fsm/a.go", file("fsm", "sync"), "fsm is pure"},
		"a goroutine in fsm":                {"fsm/a.go", "package fsm\nfunc f() { go f() }\n", "fsm/a.go:2: fsm is pure and starts no goroutine"},
		"an init function":                  {"viz/a.go", "package viz\nfunc init() {}\n", "viz/a.go:2: an init function"},
		"a method that is called init":      {"viz/a.go", "package viz\nfunc (t) init() {}\n", ""},
		"a mutable variable":                {"viz/a.go", "package viz\nvar cache = map[string]int{}\n", "viz/a.go:2: package-level variable cache"},
		"a variable without a value":        {"viz/a.go", "package viz\nvar (\n\n n int)\n", "viz/a.go:4: package-level variable n"},
		"one value too few":                 {"viz/a.go", "package viz\nvar a, b = f()\n", "package-level variable a"},
		"sentinels and assertions":          {"viz/a.go", "package viz\nvar ErrX, _ = errors.New(\"x\"), I(nil)\nvar _ I = (*t)(nil)\n", ""},
		"an embedded file":                  {"viz/a.go", "package viz\n//go:embed x\nvar x string\n", ""},
		"a variable in a function":          {"viz/a.go", "package viz\nfunc f() { var n int; _ = n }\n", ""},
		"a variable of a test":              {"viz/a_test.go", "package viz\nvar update = 1\nfunc init() {}\n", ""},
		"a folder that says nothing":        {"controller/util/a_test.go", "package util\n", "controller/util/a_test.go: a folder named util"},
		"a long file":                       {"viz/a.go", "package viz\n" + strings.Repeat("\n", maxLines), "viz/a.go: 351 lines, at most 350"},
		"a file just short enough":          {"viz/a.go", "package viz\n" + strings.Repeat("\n", maxLines-1), ""},
		"a long test":                       {"viz/a_test.go", "package viz\n" + strings.Repeat("\n", maxLines), ""},
		"what does not parse":               {"viz/a.go", "packag viz\n", "viz/a.go:1"},
		"another module has own imports":    {"examples/x/a.go", file("main", "example.com/x", ours+"controller"), ""},
		"another module has the same style": {"examples/x/a.go", "package main\nvar n = 1\n", "examples/x/a.go:2: package-level variable n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := violations(map[string][]byte{tt.name: []byte(tt.text), "examples/go.mod": nil, "go.mod": nil})
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("found %q in a file that is fine", got)
			case tt.want != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, tt.want) }):
				t.Errorf("found %q, want %q", got, tt.want)
			case len(got) > 1:
				t.Errorf("found %q, want one", got)
			}
		})
	}
}

// violations returns what is wrong with files, whose names are slash-separated
// and relative to the root. A folder with a go.mod is a module of its own, which
// imports what it likes.
func violations(files map[string][]byte) []string {
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Ext(name) != ".go" {
			continue
		}
		c := checker{name: name, dir: strings.TrimPrefix(path.Dir(name), "."), test: strings.HasSuffix(name, "_test.go"), fset: token.NewFileSet()}
		file, err := parser.ParseFile(c.fset, name, files[name], parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			wrong = append(wrong, err.Error())
			continue
		}
		c.style(file, bytes.Count(files[name], []byte("\n")))
		if !ownModule(files, c.dir) {
			c.imports(file)
		}
		wrong = append(wrong, c.wrong...)
	}
	return wrong
}

// ownModule reports whether a folder belongs to a module beside the root's.
func ownModule(files map[string][]byte, dir string) bool {
	for ; dir != "" && dir != "."; dir = path.Dir(dir) {
		if _, ok := files[dir+"/go.mod"]; ok {
			return true
		}
	}
	return false
}

// checker collects what is wrong with one file.
type checker struct {
	name, dir string
	test      bool
	fset      *token.FileSet
	wrong     []string
}

func (c *checker) fail(format string, args ...any) {
	c.wrong = append(c.wrong, c.name+fmt.Sprintf(format, args...))
}

func (c *checker) failAt(node ast.Node, format string, args ...any) {
	c.fail(":%d: "+format, append([]any{c.fset.Position(node.Pos()).Line}, args...)...)
}

// imports checks the floors.
func (c *checker) imports(file *ast.File) {
	if c.test || slices.Contains(forTests, c.dir) {
		return
	}
	allowed, known := floors[c.dir]
	if !known {
		c.fail(": package %s stands on no floor: add it to floors in imports_test.go", c.dir)
		return
	}
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
		first, _, _ := strings.Cut(imported, "/")
		our, isOurs := strings.CutPrefix(imported+"/", module+"/")
		our = strings.TrimSuffix(our, "/")
		switch {
		case slices.ContainsFunc(testOnly, func(p string) bool { return under(imported, p) }):
			c.fail(": only files of tests import %s", imported)
		case isOurs:
			if !slices.Contains(allowed, our) {
				c.fail(": package %s does not import %s: imports run downward only", c.dir, imported)
			}
		case strings.Contains(first, "."):
			if !c.mayImport(imported) {
				c.fail(": %s is imported, which outside in imports_test.go does not allow here", imported)
			}
		case c.dir == "fsm" && !slices.Contains(pure, imported):
			c.fail(": fsm is pure and does not import %s", imported)
		}
	}
	if c.dir != "fsm" {
		return
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if g, ok := n.(*ast.GoStmt); ok {
			c.failAt(g, "fsm is pure and starts no goroutine")
		}
		return true
	})
}

// mayImport reports whether this file may import a package of somebody else.
func (c *checker) mayImport(imported string) bool {
	for mod, places := range outside {
		if under(imported, mod) {
			return slices.Contains(places, c.dir) || slices.Contains(places, c.name)
		}
	}
	return false
}

// under reports whether a package is the one at root, or below it.
func under(imported, root string) bool {
	return imported == root || strings.HasPrefix(imported, root+"/")
}

// style checks what holds in every module: no folder with an empty name, and in
// what is no test no long file, no init function, and no package-level variable
// but those that nobody has a reason to change: errors.New sentinels, embedded
// files, and the blank ones that assert an interface.
func (c *checker) style(file *ast.File, lines int) {
	for part := range strings.SplitSeq(c.dir, "/") {
		if slices.Contains(noNames, part) {
			c.fail(": a folder named %s says nothing about what is inside", part)
		}
	}
	if c.test {
		return
	}
	if lines > maxLines {
		c.fail(": %d lines, at most %d", lines, maxLines)
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				c.failAt(d, "an init function: do it where a caller asks for it")
			}
		case *ast.GenDecl:
			if d.Tok != token.VAR || embeds(d) {
				continue
			}
			for _, spec := range d.Specs {
				c.variables(spec.(*ast.ValueSpec)) // a var has no other
			}
		}
	}
}

func (c *checker) variables(spec *ast.ValueSpec) {
	for i, name := range spec.Names {
		sentinel := len(spec.Values) == len(spec.Names) && isCall(spec.Values[i], "errors", "New")
		if name.Name != "_" && !sentinel && shared[c.name] != name.Name {
			c.failAt(name, "package-level variable %s: only errors.New sentinels, embedded files and _ are allowed", name.Name)
			return
		}
	}
}

// isCall reports whether an expression calls the function of a package.
func isCall(e ast.Expr, pkg, name string) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg && sel.Sel.Name == name
}

// embeds reports whether a declaration is the target of go:embed.
func embeds(d *ast.GenDecl) bool {
	return d.Doc != nil && slices.ContainsFunc(d.Doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}
