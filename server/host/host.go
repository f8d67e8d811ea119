// Package host tells about the machine that the daemon runs on: its processors, memory and cells, what it does, what the
// firmware says of it, libvirt's documents of these, and what the daemon misses on it.
//
// All of it is read from /proc and /sys, below a folder that [At] is given: "/" of a real host, a tree of a few files in
// tests. Nothing is kept between calls, for processors go offline and pools of pages change. What a kernel does not tell,
// as it has no such device or was built without, is left out; an error is only what cannot be.
//
// [Host.Update] is the one method that writes.
package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxText bounds what is read of one file.
const maxText = 4 << 20

// Host is a machine.
type Host struct {
	root    string
	arch    string
	pageKib uint64
}

// At is the machine whose /proc and /sys are below a folder.
func At(root string) *Host {
	return &Host{root: root, arch: Architecture(), pageKib: uint64(os.Getpagesize()) >> 10}
}

func (h *Host) path(name string) string { return filepath.Join(h.root, name) }

// text reads a file, without the space around it.
func (h *Host) text(name string) (string, error) {
	file, err := os.Open(h.path(name))
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(file, maxText))
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text)), nil
}

// number reads a number. ok is false where there is no such file.
func (h *Host) number(name string) (n uint64, ok bool, err error) {
	text, err := h.text(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	n, err = strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("read %s: %w", name, err)
	}
	return n, true, nil
}

// list reads a list of processors or cells: "0-3,5". ok is false where there is no such file.
func (h *Host) list(name string) (list []int, ok bool, err error) {
	text, err := h.text(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	list, err = parseList(text)
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", name, err)
	}
	return list, true, nil
}

// has tells whether there is a file.
func (h *Host) has(name string) bool {
	_, err := os.Stat(h.path(name))
	return err == nil
}

// fields are the values of a file of lines "KEY: VALUE kB", as /proc/meminfo is one, less a prefix of the lines.
func (h *Host) fields(name, prefix string) (map[string]uint64, error) {
	text, err := h.text(name)
	if err != nil {
		return nil, err
	}
	values := make(map[string]uint64)
	for line := range strings.Lines(text) {
		key, rest, ok := strings.Cut(strings.TrimPrefix(line, prefix), ":")
		words := strings.Fields(rest)
		if !ok || len(words) == 0 {
			continue
		}
		if n, err := strconv.ParseUint(words[0], 10, 64); err == nil {
			values[key] = n
		}
	}
	return values, nil
}
