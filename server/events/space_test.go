package events_test

import (
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/events"
)

// disk is a segment's file on a disk with little room.
type disk struct {
	*os.File
	room *atomic.Int64 // bytes until it is full
	stay *atomic.Bool  // what was written cannot be cut off
}

func (d disk) WriteAt(p []byte, at int64) (int, error) {
	room := max(min(d.room.Add(-int64(len(p)))+int64(len(p)), int64(len(p))), 0)
	n, err := d.File.WriteAt(p[:room], at)
	if err == nil && n < len(p) {
		err = syscall.ENOSPC
	}
	return n, err
}

func (d disk) Truncate(size int64) error {
	if d.stay.Load() {
		return syscall.ENOSPC
	}
	return d.File.Truncate(size)
}

// On a full disk Append fails and nothing is told; once there is room the numbers go on without a hole. That holds for
// every byte at which the disk may be full, and if the part that was written cannot be removed at once.
func TestFullDisk(t *testing.T) {
	for room := range 150 {
		var d disk
		d.room, d.stay = new(atomic.Int64), new(atomic.Bool)
		d.room.Store(1 << 20)
		o := events.Options{}.WithStorage(func(f *os.File) events.Storage { return disk{f, d.room, d.stay} })
		dir := t.TempDir()
		j := open(t, dir, o)
		fill(t, j, 1, 3)
		d.stay.Store(room%2 == 1)
		d.room.Store(int64(room))
		told := 3
		for range 4 {
			at, err := j.Append(event(told+1), events.Origin{})
			if err == nil {
				told = int(at.GetSequence())
				continue
			}
			_ = refused(t, err, davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED)
		}
		if got := int(j.Newest().GetSequence()); got != told {
			t.Fatalf("room for %d: newest is %d, told %d", room, got, told)
		}
		copied := copyDir(t, dir) // as a kill would leave it here
		d.stay.Store(false)
		d.room.Store(1 << 20)
		fill(t, j, told+1, told+4)
		collect(t, watch(t, j, after(j, 0)), 1, told+4)
		j.Kill()

		after := open(t, copied, events.Options{})
		if got := int(after.Newest().GetSequence()); got != told {
			t.Fatalf("room for %d: newest is %d after a kill, told %d", room, got, told)
		}
		after.Kill()
	}
}
