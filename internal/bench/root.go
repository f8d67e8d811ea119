package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed floor/init.c
var initSource string

// errNoCompiler tells that there is no C compiler.
var errNoCompiler = errors.New("there is no C compiler (gcc or cc)")

// compile makes a static program of C sources, the first of which is compiled; the others are what it includes.
func (b *bench) compile(ctx context.Context, program string, sources map[string]string, main string) error {
	compiler, err := exec.LookPath("gcc")
	if err != nil {
		if compiler, err = exec.LookPath("cc"); err != nil {
			return errNoCompiler
		}
	}
	dir, err := os.MkdirTemp(b.place.disk, "source-")
	if err != nil {
		return err
	}
	for name, text := range sources {
		if err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	out, err := exec.CommandContext(ctx, compiler, "-O2", "-static", "-o", program, filepath.Join(dir, main)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("compile %s: %w\n%s", main, err, out)
	}
	return nil
}

// makeRoot makes the folder that all containers have as their root: two programs, true and pause, and places to mount on.
func (b *bench) makeRoot(ctx context.Context) (string, error) {
	root := filepath.Join(b.place.disk, "root")
	for _, name := range []string{"bin", "dev", "etc", "proc", "run", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			return "", err
		}
	}
	pause, nothing := filepath.Join(root, "bin/pause"), filepath.Join(root, "bin/true")
	err := b.compile(ctx, pause, map[string]string{"init.c": initSource}, "init.c")
	if err != nil && !errors.Is(err, errNoCompiler) {
		return "", err
	}
	if err != nil {
		err = buildGuest(ctx, pause)
	}
	if err == nil {
		err = os.Chmod(pause, 0o755)
	}
	if err == nil {
		err = os.Link(pause, nothing)
	}
	return root, err
}

// buildGuest makes the program that tests run in containers, which is one of the Go runtime and is told by its arguments what to do.
func buildGuest(ctx context.Context, program string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "github.com/davitd/davit/internal/guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build guest: %w\n%s", err, out)
	}
	return nil
}

// What containers run. The program in C knows by its name what to do, the other by its arguments.
var (
	argvPause = []string{"/bin/pause", "pause"}
	argvTrue  = []string{"/bin/true", "exit", "0"}
)
