package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// invalid refuses a request for one field of it.
func invalid(field, format string, args ...any) error {
	return &domain.Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID,
		Message:    "request is invalid",
		Violations: []domain.Violation{{Field: field, Message: fmt.Sprintf(format, args...)}},
	}
}

// notFound says that there is no domain of a name, uuid or id.
func notFound(key, value string) error {
	return &domain.Error{
		Code: codes.NotFound, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_NOT_FOUND,
		Message: fmt.Sprintf("no domain with matching %s %q", key, value),
		Detail:  map[string]string{key: value},
	}
}

// wrongState says that the domain's state does not allow an action.
func wrongState(s *snapshot, action, why string) error {
	return &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE,
		Op: action + " domain", Subject: s.name, Message: why,
		Detail: map[string]string{"domain": s.name, "state": domain.StateWord(s.State), "action": action},
	}
}

// changed says that a definition is no longer the one that the caller saw.
func changed(name, want, have string) error {
	return &domain.Error{
		Code: codes.Aborted, Reason: davitv1.ErrorReason_ERROR_REASON_DEFINITION_CHANGED,
		Op: "change domain", Subject: name, Message: fmt.Sprintf("its definition has etag %q, not %q", have, want),
		Detail: map[string]string{"domain": name, "etag": have, "given": want},
	}
}

// taken says that a name or UUID belongs to another domain, in libvirt's words.
func taken(reason davitv1.ErrorReason, name, uuid, format string) error {
	return &domain.Error{
		Code: codes.AlreadyExists, Reason: reason,
		Message: fmt.Sprintf(format, name, uuid),
		Detail:  map[string]string{"domain": name, "uuid": uuid},
	}
}

// busy says that a domain's job did not end in time.
func busy(name, wanted, job string) error {
	return &domain.Error{
		Code: codes.Aborted, Reason: davitv1.ErrorReason_ERROR_REASON_JOB_IN_PROGRESS,
		Op: wanted, Subject: name, Message: fmt.Sprintf("another job (%s) is in progress", job),
		Detail: map[string]string{"domain": name, "job": job},
	}
}

// shuttingDown is the answer to those who wait for an engine that closes.
func shuttingDown() error {
	return &domain.Error{
		Code: codes.Unavailable, Reason: davitv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN,
		Message: "the daemon is shutting down",
	}
}

// unwaited is the answer to a caller who no longer waits for a job that goes on.
func unwaited(ctx context.Context, op, name string) error {
	return expired(ctx, op, name, "the caller no longer waits; the job goes on")
}

// expired is the answer to a caller whose time is over.
func expired(ctx context.Context, op, name, message string) error {
	code := codes.Canceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		code = codes.DeadlineExceeded
	}
	return &domain.Error{Code: code, Op: op, Subject: name, Message: message}
}

// startFailed makes an error of the driver one that tells what failed, unless it does already.
func startFailed(name string, err error) error {
	if _, known := errors.AsType[*domain.Error](err); known {
		return err
	}
	return &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_START_FAILED,
		Op: "start domain", Subject: name, Message: err.Error(), Err: nil,
		Detail: map[string]string{"domain": name},
	}
}

// unsupported says that the driver has no such ability.
func unsupported(what string) error {
	return &domain.Error{
		Code: codes.Unimplemented, Reason: davitv1.ErrorReason_ERROR_REASON_DRIVER_UNSUPPORTED,
		Message: "the driver does not " + what,
	}
}

// formatID is a domain's number as text.
func formatID(id uint32) string { return strconv.FormatUint(uint64(id), 10) }
