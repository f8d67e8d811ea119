package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	"github.com/davitd/davit/driver/monitor/client"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Errors of a start tell the operation, the object and the kernel's error, and what a user can do.
func TestStartFailed(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		text   string
		reason davitv1.ErrorReason
		detail map[string]string
	}{
		"an operation of the plan": {
			&client.Error{Step: 3, Operation: `bind "/srv/x" on`, Object: "/mnt", Errno: unix.ENOENT},
			`start domain "web": bind "/srv/x" on "/mnt": no such file or directory; the source must exist: it is never made`,
			davitv1.ErrorReason_ERROR_REASON_START_FAILED,
			map[string]string{"operation": `bind "/srv/x" on`, "object": "/mnt", "errno": "ENOENT", "step": "3"},
		},
		"a file of ours": {
			&fs.PathError{Op: "mkdir", Path: "/run/davit/d/x", Err: unix.EACCES},
			`start domain "web": write record: mkdir /run/davit/d/x: permission denied`,
			davitv1.ErrorReason_ERROR_REASON_START_FAILED,
			map[string]string{"operation": "write record", "object": "/run/davit/d/x", "errno": "EACCES"},
		},
		"a full disk": {
			&fs.PathError{Op: "write", Path: "/run/x", Err: unix.ENOSPC},
			`start domain "web": write record: write /run/x: no space left on device`,
			davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED,
			map[string]string{"operation": "write record", "object": "/run/x", "errno": "ENOSPC"},
		},
		"a controller that is not there": {
			fmt.Errorf("limit memory: %w", cgroup.ErrNoController),
			`start domain "web": write record: limit memory: ` + cgroup.ErrNoController.Error(),
			davitv1.ErrorReason_ERROR_REASON_HOST_UNSUPPORTED,
			map[string]string{"operation": "write record", "feature": "cgroup controller"},
		},
	} {
		var e *domain.Error
		if !errors.As(startFailed("web", "write record", test.err), &e) {
			t.Errorf("%s: no *domain.Error", name)
			continue
		}
		if e.Error() != test.text || e.Reason != test.reason {
			t.Errorf("%s: %v, %v", name, e, e.Reason)
		}
		if diff := cmp.Diff(test.detail, e.Detail); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	own := &domain.Error{Message: "as it was"}
	if err := startFailed("web", "x", own); !errors.Is(err, own) || err.Error() != "as it was" {
		t.Errorf("an error that says what is needed was changed to %v", err)
	}
	if err := startFailed("web", "x", context.Canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("the end of the caller's time was changed to %v", err)
	}
}

// Each errno that has advice is told with it, and no other.
func TestAdvice(t *testing.T) {
	for _, test := range []struct {
		operation string
		errno     syscall.Errno
		want      string
	}{
		{"run", unix.ENOENT, "<init> must be a program"},
		{"run", unix.EACCES, "must be executable"},
		{"run", unix.ENOEXEC, "must be a program for this processor"},
		{"mount root", unix.ENOENT, "the source must exist"},
		{"mount root overlay", unix.ELOOP, "no symbolic link"},
		{`mount overlay of "/srv/x" on`, unix.ENOENT, "the source must exist"},
		{"look up user", 0, "<inituser>"},
		{"mount proc", unix.EPERM, ""},
		{"", 0, ""},
	} {
		got := advice(test.operation, test.errno)
		if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
			t.Errorf("advice on %q and %v: %q, want %q", test.operation, test.errno, got, test.want)
		}
	}
}

// Refusals of a monitor keep their meaning.
func TestRefused(t *testing.T) {
	i := &instance{spec: driver.Spec{Definition: &davitv1.Domain{Name: "web"}}}
	for kind, want := range map[monitorv1.ErrorKind]error{
		monitorv1.ErrorKind_ERROR_KIND_STATE:          domain.ErrFailedPrecondition,
		monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND:      domain.ErrNotFound,
		monitorv1.ErrorKind_ERROR_KIND_BUSY:           domain.ErrFailedPrecondition,
		monitorv1.ErrorKind_ERROR_KIND_INVALID:        domain.ErrInvalid,
		monitorv1.ErrorKind_ERROR_KIND_NOT_EXECUTABLE: domain.ErrFailedPrecondition,
		monitorv1.ErrorKind_ERROR_KIND_EXHAUSTED:      domain.ErrExhausted,
		monitorv1.ErrorKind_ERROR_KIND_UNSPECIFIED:    domain.ErrInternal,
	} {
		if err := i.refused("run command", &client.Error{Operation: "x", Kind: kind}); !errors.Is(err, want) {
			t.Errorf("kind %v became %v, want %v", kind, err, want)
		}
	}
	if err := i.refused("run command", unix.ECONNRESET); !errors.Is(err, domain.ErrUnavailable) {
		t.Errorf("a lost connection became %v", err)
	}
	if err := i.refused("run command", nil); err != nil {
		t.Errorf("nothing became %v", err)
	}
}
