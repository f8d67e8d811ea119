package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// testenvPath is how the import path of the package ends that privileged tests use.
const testenvPath = "/internal/testenv"

// goPackage is what go list tells.
type goPackage struct {
	ImportPath, Dir           string
	Module                    struct{ Dir string }
	TestImports, XTestImports []string
}

// privileged tells whether the package has tests that want root.
func (p goPackage) privileged() bool {
	return slices.ContainsFunc(slices.Concat(p.TestImports, p.XTestImports), func(path string) bool {
		return strings.HasSuffix(path, testenvPath)
	})
}

// compileTests makes the test binaries, in a folder that the guest sees, and a step of each.
func compileTests(ctx context.Context, o options, work string) ([]step, error) {
	packages, err := listPackages(ctx, strings.Split(o.packages, ","))
	if err != nil {
		return nil, err
	}
	steps := make([]step, len(packages))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for i, p := range packages {
		group.Go(func() error {
			binary := filepath.Join(work, strings.ReplaceAll(p.ImportPath, "/", "_")+".test")
			steps[i] = step{Name: p.ImportPath, Dir: p.Dir, Argv: []string{binary, "-test.v", "-test.timeout=" + o.timeout.String()}}
			if o.run != "" {
				steps[i].Argv = append(steps[i].Argv, "-test.run="+o.run)
			}
			steps[i].Env = testEnvironment(o, p, work)
			return goRun(ctx, "test", "-c", "-o", binary, p.ImportPath)
		})
	}
	group.Go(func() error { return preparePrograms(ctx, o, work) })
	return steps, group.Wait()
}

// testEnvironment tells the tests where they are, and that nothing may be skipped that this guest has.
func testEnvironment(o options, p goPackage, work string) []string {
	require := "root,userns,overlay,cgroup"
	if o.cgroup == "v2" {
		require += ",cgroup-v2"
	} else {
		require += ",cgroup-v1"
	}
	return []string{"DAVIT_TEST_REQUIRE=" + require, "DAVIT_TEST_BIN=" + work, "DAVIT_TEST_SOURCE=" + p.Module.Dir}
}

// programs are what tests start that is not in cmd: linking them in the guest would take minutes.
var programs = []string{"internal/guest", "internal/demo", "driver/native/testdata/guest", "driver/monitor/internal/flood", "internal/escape/guest"}

// preparePrograms puts the programs that tests start where testenv looks for them: those of cmd by their name, others by
// their path.
func preparePrograms(ctx context.Context, o options, work string) error {
	if o.bin == "" {
		if err := goRun(ctx, "build", "-trimpath", "-ldflags=-s -w", "-o", work+"/", "./cmd/..."); err != nil {
			return err
		}
	} else if err := copyFolder(o.bin, work); err != nil {
		return fmt.Errorf("copy programs: %w", err)
	}
	for _, pkg := range programs {
		if _, err := os.Stat(pkg); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := goRun(ctx, "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(work, pkg), "./"+pkg); err != nil {
			return err
		}
	}
	return nil
}

// copyFolder copies the files of a folder.
func copyFolder(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), text, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// listPackages lists the privileged packages.
func listPackages(ctx context.Context, patterns []string) ([]goPackage, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-json=ImportPath,Dir,Module,TestImports,XTestImports"}, patterns...)...)
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	var found []goPackage
	for decoder := json.NewDecoder(&out); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list packages: %w", err)
		}
		if p.privileged() {
			found = append(found, p)
		}
	}
}

// goRun runs the go command, static as all of the project.
func goRun(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
