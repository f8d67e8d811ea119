package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lock keeps the tests of this host that look for what others leave from running meanwhile: they would find what is the benchmark's, and
// it would be slower for them. It is the file that they lock themselves (internal/testenv).
func lock(ctx context.Context, out io.Writer) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(os.TempDir(), "davit-test.lock"), os.O_CREATE|os.O_RDONLY|unix.O_NOFOLLOW, 0o644)
	if errors.Is(err, unix.EACCES) { // another user's
		file, err = os.Open(filepath.Join(os.TempDir(), "davit-test.lock"))
	}
	if err != nil {
		return nil, fmt.Errorf("lock host: %w", err)
	}
	for told := false; ; told = true {
		if err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return file, nil
		}
		if !told {
			_, _ = fmt.Fprintln(out, "Tests run on this host: waiting for them. -beside does not wait.")
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return nil, errors.Join(fmt.Errorf("lock host: %w", err), file.Close())
		}
	}
}
