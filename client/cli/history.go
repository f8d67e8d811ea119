package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// historyLimit is how many lines a shell remembers.
const historyLimit = 1000

// history is the lines that were typed, kept in a file that only the user may read. Each line is appended when it is
// typed, so nothing is lost whatever ends the shell, and shells side by side keep each other's lines. The file holds at
// most twice [historyLimit] lines.
type history struct {
	path   string // "" keeps nothing
	lines  []string
	stored int // lines in the file
}

// historyPath is where the history is kept, "" where there is no place for it.
func historyPath(env func(string) string) string {
	if state := env("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "davit", "history")
	}
	for _, home := range []string{env("HOME"), env("USERPROFILE")} {
		if filepath.IsAbs(home) {
			return filepath.Join(home, ".local", "state", "davit", "history")
		}
	}
	return ""
}

// openHistory reads what earlier shells left. A file that cannot be read is no reason not to start: the history is usable
// also when there is an error.
func openHistory(path string) (*history, error) {
	h := &history{path: path}
	if path == "" {
		return h, nil
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		h.path = ""
		return h, fmt.Errorf("read history: %w", err)
	}
	for line := range strings.Lines(string(content)) {
		h.stored++
		h.remember(strings.TrimSuffix(line, "\n"))
	}
	return h, nil
}

// add keeps a line, unless it begins with a blank, repeats the one before, or has characters that a terminal acts on. It
// reports whether it did.
func (h *history) add(line string) (bool, error) {
	if strings.HasPrefix(line, " ") || !h.remember(line) {
		return false, nil
	}
	if h.path == "" {
		return true, nil
	}
	if err := h.store(line); err != nil {
		h.path = ""
		return true, fmt.Errorf("keep history: %w", err)
	}
	return true, nil
}

func (h *history) remember(line string) bool {
	if strings.TrimSpace(line) == "" || cell(line) != line || !utf8.ValidString(line) {
		return false
	}
	if n := len(h.lines); n > 0 && h.lines[n-1] == line {
		return false
	}
	h.lines = append(h.lines, line)
	if extra := len(h.lines) - historyLimit; extra > 0 {
		h.lines = h.lines[extra:]
	}
	return true
}

// store writes a line to the file, and the file anew when it has grown too long.
func (h *history) store(line string) error {
	if h.stored >= 2*historyLimit {
		return h.rewrite()
	}
	if err := os.MkdirAll(filepath.Dir(h.path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(h.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	// One write, so that the lines of two shells do not mix.
	_, err = f.WriteString(line + "\n")
	h.stored++
	return errors.Join(err, f.Close())
}

// rewrite replaces the file by what is remembered.
func (h *history) rewrite() error {
	var all bytes.Buffer
	for _, line := range h.lines {
		all.WriteString(line + "\n")
	}
	f, err := os.CreateTemp(filepath.Dir(h.path), ".history-*") // of mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(all.Bytes())
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), h.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	h.stored = len(h.lines)
	return nil
}
