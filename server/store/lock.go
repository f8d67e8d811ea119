package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const lockName = "lock"

// takeLock locks a folder for this process. The lock belongs to the open file, so it ends with the process, however
// that ends, and does not pass to programs that it starts.
func takeLock(f *folder) (*os.File, error) {
	file, err := f.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err = unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &whole)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		err = held(f.name, file)
	}
	if err == nil {
		// In place and of one length: it works on a full disk too.
		_, err = file.WriteAt(fmt.Appendf(nil, "%-10d\n", os.Getpid()), 0)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// held names who has the lock. Who took it this instant may not have written its pid yet.
func held(dir string, file *os.File) error {
	b := make([]byte, 16)
	n, _ := file.ReadAt(b, 0)
	owner, _, _ := strings.Cut(string(b[:n]), "\n")
	owner = strings.TrimSpace(owner)
	message := fmt.Sprintf("another davitd, pid %s, has it", owner)
	if owner == "" {
		message = "another davitd has it"
	}
	return &domain.Error{
		Code:    codes.FailedPrecondition,
		Reason:  davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY,
		Op:      "lock folder",
		Subject: dir,
		Message: message,
		Detail:  map[string]string{"owner": owner},
	}
}
