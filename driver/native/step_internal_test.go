package native

import (
	"go/ast"
	"go/parser"
	"go/token"
	gomaps "maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sources parses the package's files but for its tests.
func sources(tb testing.TB) (files []*ast.File) {
	tb.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			tb.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// NamesOfSteps are the names of all steps that the driver takes, as its source has them.
func NamesOfSteps(tb testing.TB) []string {
	tb.Helper()
	names := make(map[string]bool)
	for _, step := range Steps {
		names[step] = true
	}
	for _, file := range sources(tb) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			to, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || to.Sel.Name != "step" && to.Sel.Name != "takeStep" {
				return true
			}
			if text, ok := call.Args[0].(*ast.BasicLit); ok {
				name, err := strconv.Unquote(text.Value)
				if err != nil {
					tb.Fatal(err)
				}
				names[name] = true
			}
			return true
		})
	}
	return slices.Sorted(gomaps.Keys(names))
}

// startMethods are the methods of a start that take a context and give an error, as steps do.
func startMethods(tb testing.TB) map[string]*ast.FuncDecl {
	tb.Helper()
	methods := make(map[string]*ast.FuncDecl)
	for _, file := range sources(tb) {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv == nil {
				continue
			}
			pointer, ok := f.Recv.List[0].Type.(*ast.StarExpr)
			if !ok {
				continue
			}
			if of, ok := pointer.X.(*ast.Ident); ok && of.Name == "start" {
				methods[f.Name.Name] = f
			}
		}
	}
	return methods
}

// selected counts the fields and methods of s that a function names.
func selected(f *ast.FuncDecl) map[string]int {
	count := make(map[string]int)
	ast.Inspect(f, func(n ast.Node) bool {
		if to, ok := n.(*ast.SelectorExpr); ok {
			if of, ok := to.X.(*ast.Ident); ok && of.Name == "s" {
				count[to.Sel.Name]++
			}
		}
		return true
	})
	return count
}

// A start makes things in its steps alone, one a step, so that it can be cut off between any two of them.
func TestStartIsMadeOfSteps(t *testing.T) {
	methods := startMethods(t)
	steps := selected(methods["steps"])
	if len(steps) != len(Steps) || len(Steps) < 15 {
		t.Errorf("%d methods are steps, and there are %d steps", len(steps), len(Steps))
	}
	for name, f := range methods {
		uses := selected(f)
		made := uses["undoBy"]
		switch {
		case made > 0 && steps[name] == 0:
			t.Errorf("%q makes something and is no step: it cannot be cut off before", name)
		case made > 1:
			t.Errorf("step %q makes %d things: it cannot be cut off between them", name, made)
		case steps[name] > 1:
			t.Errorf("%q is taken %d times", name, steps[name])
		}
		for other := range uses {
			if steps[other] > 0 && name != "steps" {
				t.Errorf("%q takes the step %q on the side", name, other)
			}
		}
	}
	for _, file := range sources(t) {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Name.Name != "Start" {
				continue
			}
			for name := range selected(f) {
				if _, method := methods[name]; method && name != "do" && name != "undo" {
					t.Errorf("Start calls %q, which is no step", name)
				}
			}
		}
	}
}
