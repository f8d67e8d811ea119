package native

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Who looks whether a domain is there holds its log for a moment: that keeps no monitor from its log.
func TestLogIsLookedAt(t *testing.T) {
	folder, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	looking, err := createAt(folder, logName, unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	if err = unix.Flock(int(looking.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(30*time.Millisecond, func() { _ = looking.Close() })
	log, err := lockedLog(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	_ = log.Close()
}
