package events

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// markerName is the file that tells whether the journal is open: it holds the id of the host's boot while it is, and
// markedClosed afterwards. With the same id the kernel still has every byte that was written, whatever became of the
// daemon; with another the host died while the journal was open. It is written in place, so that a daemon starts and
// stops on a full disk.
const (
	markerName   = "open"
	markerSize   = 37 // an id and a newline
	markedClosed = "closed"
)

// bootID names the host's boot.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// hostDied tells whether the journal was open when the host went down.
func hostDied(root *os.Root, boot string) (bool, error) {
	b, err := root.ReadFile(markerName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read marker %q: %w", markerName, err)
	}
	is := strings.TrimSpace(string(b))
	return is != boot && is != markedClosed, nil
}

// mark writes the marker to disk.
func mark(root *os.Root, as string) error {
	f, err := root.OpenFile(markerName, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("write marker: %w", err)
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "%-*s\n", markerSize-1, as), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write marker: %w", err)
	}
	return nil
}

// writeSynced makes a file, on disk. What was begun is removed if it fails.
func writeSynced(root *os.Root, name string, data []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = root.Remove(name)
	}
	return err
}

// syncFolder puts the names of a folder on disk.
func syncFolder(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}
