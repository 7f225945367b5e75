package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// listed is what `go list -json` tells about a package, as far as it is needed.
type listed struct {
	ImportPath, Dir, Name string
	GoFiles, CgoFiles     []string
	Imports               []string
	ImportMap             map[string]string
	Standard, DepOnly     bool
	Module                *struct {
		Main      bool
		Path      string
		GoVersion string
		Replace   *struct{ Path string }
	}
	Error *struct{ Pos, Err string }

	pkg *types.Package // once it is checked
}

// whole reports whether function bodies are checked and read, too: of what the user works
// on, and of the packages that use looplab.
func (l *listed) whole() bool {
	return !l.Standard && (!l.DepOnly || l.Module == nil || l.Module.Main || l.Module.Replace != nil || slices.ContainsFunc(l.Imports, isLooplab))
}

// program is a set of packages, read and type-checked from source.
type program struct {
	fset    *token.FileSet
	info    types.Info
	listed  map[string]*listed
	files   map[*types.Package][]*ast.File // of packages outside the standard library
	targets []*types.Package
	errs    []error // what is wrong with the targets, and with the rest of the module

	// What the evaluation needs to know of variables and functions: see scan.
	defined     map[types.Object]ast.Expr // where a variable gets its first value; nil if it is the zero value
	written     map[*types.Var]token.Pos
	changes     []change
	appendCalls []site
	inReturn    map[*ast.CallExpr]*ast.ReturnStmt
	flows       map[*types.Var][]ast.Expr // what goes into variables, parameters and fields
	returned    map[*types.Func][]ast.Expr
	reach       map[memory]map[types.Type]bool
	functions   map[*types.Func]*ast.FuncDecl
	calls       map[*types.Func][]site
	abstract    map[string][]*types.Func // methods of interfaces that are called, by name
	direct      map[*ast.Ident]bool      // the functions in calls
	values      map[*types.Func][]use
	steps       int // how many expressions were evaluated for the machine in hand
}

// load asks the go command for the packages that the patterns name and for all that
// they import, and type-checks them from source. Nothing is compiled.
func load(ctx context.Context, dir string, patterns []string) (*program, error) {
	p := &program{
		fset: token.NewFileSet(), listed: make(map[string]*listed),
		files: make(map[*types.Package][]*ast.File), defined: make(map[types.Object]ast.Expr),
		written:  make(map[*types.Var]token.Pos),
		returned: make(map[*types.Func][]ast.Expr), reach: make(map[memory]map[types.Type]bool),
		inReturn: make(map[*ast.CallExpr]*ast.ReturnStmt), flows: make(map[*types.Var][]ast.Expr),
		functions: make(map[*types.Func]*ast.FuncDecl), calls: make(map[*types.Func][]site),
		abstract: make(map[string][]*types.Func),
		direct:   make(map[*ast.Ident]bool), values: make(map[*types.Func][]use),
		info: types.Info{
			Types: make(map[ast.Expr]types.TypeAndValue), Defs: make(map[*ast.Ident]types.Object),
			Uses: make(map[*ast.Ident]types.Object), Selections: make(map[*ast.SelectorExpr]*types.Selection),
		},
	}
	targets, err := p.list(ctx, dir, patterns)
	if err != nil {
		return nil, err
	}
	for _, l := range targets {
		if l.Error != nil {
			at := l.Error.Pos
			if at != "" {
				at += ": "
			}
			p.errs = append(p.errs, errors.New(at+strings.TrimSpace(l.Error.Err)))
			continue
		}
		p.targets = append(p.targets, p.check(l))
	}
	return p, errors.Join(p.errs...)
}

// list runs the go command, and returns the packages that the patterns name.
func (p *program) list(ctx context.Context, dir string, patterns []string) ([]*listed, error) {
	args := []string{"list", "-e", "-deps", "-json=ImportPath,Dir,Name,GoFiles,CgoFiles,Imports,ImportMap,Standard,DepOnly,Module,Error", "--"}
	cmd := exec.CommandContext(ctx, "go", append(args, patterns...)...) //nolint:gosec // the patterns are the user's, and stand behind --
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w: %s", strings.Join(patterns, " "), err, strings.TrimSpace(stderr.String()))
	}
	var targets []*listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list %s: %w", strings.Join(patterns, " "), err)
		}
		p.listed[l.ImportPath] = &l
		if !l.DepOnly {
			targets = append(targets, &l)
		}
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("%s: no packages: %s", strings.Join(patterns, " "), strings.TrimSpace(stderr.String()))
	}
	return targets, nil
}

// check parses and type-checks a package, after those that it imports.
func (p *program) check(l *listed) *types.Package {
	if l.pkg != nil {
		return l.pkg
	}
	fail := func(err error) {
		if typed, ok := errors.AsType[types.Error](err); ok {
			err = errors.New(position(typed.Fset.Position(typed.Pos)) + ": " + typed.Msg)
		}
		if !l.DepOnly || l.Module != nil && l.Module.Main {
			p.errs = append(p.errs, err)
		}
	}
	var files []*ast.File
	for _, name := range slices.Concat(l.GoFiles, l.CgoFiles) {
		file, err := parser.ParseFile(p.fset, filepath.Join(l.Dir, name), nil, parser.SkipObjectResolution|parser.AllErrors|parser.ParseComments)
		if err != nil {
			fail(err)
		}
		if file != nil {
			files = append(files, file)
		}
	}
	conf := types.Config{
		FakeImportC: true, IgnoreFuncBodies: !l.whole(), Importer: importer{p, l}, Error: fail,
		Sizes: types.SizesFor("gc", "amd64"),
	}
	if l.Module != nil && l.Module.GoVersion != "" && l.whole() {
		conf.GoVersion = "go" + l.Module.GoVersion
	}
	info := &p.info
	if l.Standard {
		info = nil
	}
	l.pkg, _ = conf.Check(l.ImportPath, p.fset, files, info) // errors went to fail
	if !l.Standard {
		p.files[l.pkg] = files
	}
	return l.pkg
}

// importer finds what one package imports.
type importer struct {
	*program
	by *listed
}

func (i importer) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if mapped, ok := i.by.ImportMap[path]; ok {
		path = mapped
	}
	l, ok := i.listed[path]
	if !ok {
		return nil, fmt.Errorf("package %s is not known to the go command", path)
	}
	if l.Error != nil && l.Name == "" {
		return nil, errors.New(strings.TrimSpace(l.Error.Err))
	}
	return i.check(l), nil
}

// group is a folder in which the go command runs, and the patterns it gets there.
type group struct {
	dir      string
	patterns []string
}

// groups sorts patterns by the module that they are in: a path may lead into a module
// other than that of the working directory.
func groups(patterns []string) ([]group, error) {
	var all []group
	for _, pattern := range patterns {
		dir, rest := ".", pattern
		if build := filepath.ToSlash(pattern); isPath(build) || filepath.IsAbs(pattern) {
			before, _, dots := strings.Cut(build, "...")
			base := before
			if dots {
				base = before[:strings.LastIndex(before, "/")+1]
			}
			abs, err := filepath.Abs(filepath.FromSlash(base))
			if err != nil {
				return nil, err
			}
			stat, err := os.Stat(abs)
			switch {
			case err != nil:
				return nil, fmt.Errorf("path %q: %w", pattern, err)
			case stat.IsDir():
				dir = moduleRoot(abs)
			case filepath.Ext(abs) == ".go":
				dir = moduleRoot(filepath.Dir(abs))
			default:
				return nil, fmt.Errorf("path %q is not a folder or a Go file", pattern)
			}
			rel, err := filepath.Rel(dir, abs)
			if err != nil {
				return nil, err
			}
			rest = "./" + filepath.ToSlash(rel)
			if dots {
				rest = "./" + path.Join(filepath.ToSlash(rel), strings.TrimPrefix(build, base))
			}
		}
		i := slices.IndexFunc(all, func(g group) bool { return g.dir == dir })
		if i < 0 {
			all = append(all, group{dir: dir})
			i = len(all) - 1
		}
		all[i].patterns = append(all[i].patterns, rest)
	}
	return all, nil
}

// isPath tells a path from an import path, as the go command does.
func isPath(pattern string) bool {
	return pattern == "." || pattern == ".." || strings.HasPrefix(pattern, "./") || strings.HasPrefix(pattern, "../")
}

// moduleRoot returns the nearest folder above with a go.mod, or the folder itself.
func moduleRoot(dir string) string {
	for root := dir; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			return root
		}
		if root == filepath.Dir(root) {
			return dir
		}
	}
}
