package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// kernel is an unpacked kernel package.
type kernel struct {
	// dir has boot/ and lib/modules/.
	dir string
	// version is the folder below lib/modules.
	version string
}

// image is what QEMU starts.
func (k kernel) image() string { return filepath.Join(k.dir, "boot", "vmlinuz-"+k.version) }

// modules is where its modules are.
func (k kernel) modules() string { return filepath.Join(k.dir, "lib", "modules", k.version) }

// fetchKernel gives the kernel of a package, downloaded and unpacked once.
func fetchKernel(ctx context.Context, name, cache string) (kernel, error) {
	if strings.ContainsAny(name, "/ ") {
		return kernel{}, fmt.Errorf("read -kernel %q: must be the name of a package", name)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return kernel{}, err
	}
	cache, err := filepath.Abs(cache)
	if err != nil {
		return kernel{}, err
	}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return kernel{}, err
	}
	defer unlock()
	dir := filepath.Join(cache, name)
	if k, err := openKernel(dir); err == nil {
		return k, nil
	}
	fmt.Fprintln(os.Stderr, "vmtest: fetch kernel package", name)
	fresh := dir + ".new"
	if err := errors.Join(os.RemoveAll(fresh), os.RemoveAll(dir), os.MkdirAll(fresh, 0o755)); err != nil {
		return kernel{}, err
	}
	if err := unpackKernel(ctx, name, fresh); err != nil {
		return kernel{}, fmt.Errorf("fetch kernel %s: %w", name, err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		return kernel{}, err
	}
	return openKernel(dir)
}

// lock takes a file lock, so that two runs do not unpack the same kernel.
func lock(path string) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = file.Close() }, nil
}

// openKernel finds the version of an unpacked package.
func openKernel(dir string) (kernel, error) {
	found, err := filepath.Glob(filepath.Join(dir, "lib", "modules", "*", "modules.dep"))
	if err != nil || len(found) != 1 {
		return kernel{}, fmt.Errorf("open kernel in %s: has %d folders of modules", dir, len(found))
	}
	return kernel{dir: dir, version: filepath.Base(filepath.Dir(found[0]))}, nil
}

// unpackKernel downloads and unpacks the package that a meta package stands for, and indexes its modules.
func unpackKernel(ctx context.Context, name, dir string) error {
	real, err := resolve(ctx, name)
	if err != nil {
		return err
	}
	// Without a sandbox user, who could not write here.
	if err = command(ctx, dir, "apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", real); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("download of %s gave %d files", real, len(debs))
	}
	if err = command(ctx, dir, "dpkg-deb", "-x", debs[0], dir); err != nil {
		return err
	}
	if err = os.Remove(debs[0]); err != nil {
		return err
	}
	if _, err = os.Stat(filepath.Join(dir, "lib", "modules")); err != nil {
		if err = os.Symlink("usr/lib", filepath.Join(dir, "lib")); err != nil {
			return err
		}
	}
	versions, err := os.ReadDir(filepath.Join(dir, "lib", "modules"))
	if err != nil || len(versions) != 1 {
		return fmt.Errorf("package %s has %d folders of modules", real, len(versions))
	}
	return command(ctx, dir, "depmod", "-b", dir, versions[0].Name())
}

// resolve follows a meta package to the package with the image.
func resolve(ctx context.Context, name string) (string, error) {
	for range 5 {
		out, err := exec.CommandContext(ctx, "apt-cache", "depends", name).Output()
		if err != nil {
			return "", fmt.Errorf("look up package %s: %w (apt-get update?)", name, err)
		}
		next := ""
		for line := range strings.Lines(string(out)) {
			dependency, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: ")
			if ok && strings.HasPrefix(dependency, "linux-image-") {
				next = dependency
				break
			}
		}
		if next == "" {
			return name, nil
		}
		name = next
	}
	return "", fmt.Errorf("package %s depends on kernels without end", name)
}

// command runs a tool in a folder.
func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// moduleFiles lists the files of some modules and of what they depend on, in the order in which they can be loaded. What
// is built into the kernel has no file.
func (k kernel) moduleFiles(names ...string) ([]string, error) {
	file, err := os.Open(filepath.Join(k.modules(), "modules.dep"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	needs, at := map[string][]string{}, map[string]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		path, rest, ok := strings.Cut(lines.Text(), ":")
		if ok {
			needs[path], at[moduleName(path)] = strings.Fields(rest), path
		}
	}
	var order []string
	var add func(path string)
	add = func(path string) {
		for _, n := range needs[path] {
			add(n)
		}
		if full := filepath.Join(k.modules(), path); !slices.Contains(order, full) {
			order = append(order, full)
		}
	}
	for _, name := range names {
		if path, ok := at[moduleName(name)]; ok {
			add(path)
		}
	}
	return order, nil
}

// moduleName is the name of a module by its file.
func moduleName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	return strings.ReplaceAll(name, "-", "_")
}
