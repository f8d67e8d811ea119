package logs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A search for lines that are not there does not outlive its caller.
func TestTailEndsWithItsCaller(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console.log")
	text := strings.Repeat("2026-01-02T15:04:05.123456789Z console0 F a line\n", 4*window/50)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	_, _, err = lastLines(ctx, []*segment{{file: file, size: int64(len(text))}}, 1, func(record) bool {
		seen++
		cancel()
		return false
	})
	if !errors.Is(err, context.Canceled) || seen == 0 || seen > window/40 {
		t.Errorf("it ended after %d lines with %v", seen, err)
	}
}
