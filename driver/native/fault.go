package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/monitor/client"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// startFailed is the error of a start: what could not be done on what, why, and what the user can do about it. An error
// that says so already, and the end of the caller's time, stay what they are.
func startFailed(name, operation string, err error) error {
	if _, own := errors.AsType[*domain.Error](err); own {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("start domain %q: %s: %w", name, operation, err)
	}
	if errors.Is(err, os.ErrNoDeadline) { // of a socket that the runtime got no memory of the kernel's to watch, which it does not say
		err = fmt.Errorf("%w: %w", err, unix.ENOMEM)
	}
	e := &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_START_FAILED,
		Op: "start domain", Subject: name, Message: operation, Err: err,
		Detail: map[string]string{"operation": operation},
	}
	if told, ok := errors.AsType[*client.Error](err); ok {
		e.Message, e.Detail["operation"], e.Detail["object"] = told.Error(), told.Operation, told.Object
		if told.Step > 0 {
			e.Detail["step"] = strconv.Itoa(told.Step)
		}
		e.Err = nil
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		e.Detail["object"] = path.Path
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		e.Detail["errno"] = unix.ErrnoName(errno)
		e.Code, e.Reason = codeOf(errno, e.Code, e.Reason)
	}
	if element := elementOf(err); element != "" {
		e.Message, e.Detail["element"] = operation+": "+element, element
	}
	if errors.Is(err, cgroup.ErrNoController) || errors.Is(err, cgroup.ErrNoKnob) {
		e.Reason = davitv1.ErrorReason_ERROR_REASON_HOST_UNSUPPORTED
		e.Detail["feature"] = "cgroup controller"
	}
	hint := advice(e.Detail["operation"], errno)
	if hint == "" && strings.Contains(e.Message, "ids cannot be mapped") {
		hint = unmappedRemedy
	}
	if hint != "" {
		if e.Err != nil {
			e.Message, e.Err = fmt.Sprintf("%s: %v", e.Message, e.Err), nil
		}
		e.Message += "; " + hint
	}
	return e
}

// codeOf tells what has run out from what is wrong.
func codeOf(errno syscall.Errno, code codes.Code, reason davitv1.ErrorReason) (codes.Code, davitv1.ErrorReason) {
	switch errno {
	case unix.ENOSPC, unix.ENOMEM, unix.EMFILE, unix.ENFILE, unix.EAGAIN, unix.EDQUOT:
		return codes.ResourceExhausted, davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED
	default:
		return code, reason
	}
}

// advice is what a user can do, where the kernel's word does not say it.
func advice(operation string, errno syscall.Errno) string {
	first, _, _ := strings.Cut(operation, " ")
	switch {
	case first == "run" && errno == unix.ENOENT:
		return "<init> must be a program in the domain's root, and its interpreter or loader too"
	case first == "run" && errno == unix.EACCES:
		return "<init> must be executable, on a filesystem that is not mounted noexec"
	case first == "run" && errno == unix.ENOEXEC:
		return "<init> must be a program for this processor, or a script that begins with #!"
	case operation == "look up user" && errno == 0:
		return "<inituser> and <initgroup> are names of the domain's own /etc/passwd and /etc/group, or numbers"
	case (first == "bind" || strings.HasPrefix(operation, "mount root") || strings.HasPrefix(operation, "mount overlay of")) &&
		errno == unix.ENOENT:
		return "the source must exist: it is never made"
	case strings.HasPrefix(operation, "mount root") && (errno == unix.ELOOP || errno == unix.ENOTDIR):
		return "the root must be a folder and no symbolic link"
	}
	return ""
}

// refused is the error of a request that a monitor did not carry out, in the words of the contract.
func (i *instance) refused(op string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if _, own := errors.AsType[*domain.Error](err); own {
		return err
	}
	e := &domain.Error{Op: op, Subject: i.spec.Definition.GetName(), Message: err.Error()}
	told, ok := errors.AsType[*client.Error](err)
	if !ok {
		e.Code, e.Reason = codes.Unavailable, davitv1.ErrorReason_ERROR_REASON_MONITOR_LOST
		e.Message, e.Err = "its monitor does not answer", err
		return e
	}
	e.Detail = map[string]string{"operation": told.Operation, "object": told.Object}
	if told.Errno != 0 {
		e.Detail["errno"] = unix.ErrnoName(told.Errno)
	}
	switch told.Kind {
	case monitorv1.ErrorKind_ERROR_KIND_STATE:
		e.Code, e.Reason = codes.FailedPrecondition, davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE
	case monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND:
		e.Code, e.Reason = codes.NotFound, davitv1.ErrorReason_ERROR_REASON_OBJECT_NOT_FOUND
	case monitorv1.ErrorKind_ERROR_KIND_BUSY:
		e.Code, e.Reason = codes.FailedPrecondition, davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY
	case monitorv1.ErrorKind_ERROR_KIND_INVALID:
		e.Code, e.Reason = codes.InvalidArgument, davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID
	case monitorv1.ErrorKind_ERROR_KIND_NOT_EXECUTABLE:
		e.Code, e.Reason = codes.FailedPrecondition, davitv1.ErrorReason_ERROR_REASON_OBJECT_NOT_FOUND
		e.Detail["errno"] = "EACCES"
	case monitorv1.ErrorKind_ERROR_KIND_EXHAUSTED:
		e.Code, e.Reason = codes.ResourceExhausted, davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED
	default:
		e.Code, e.Reason = codes.Internal, davitv1.ErrorReason_ERROR_REASON_INTERNAL
	}
	return e
}

// state is the error of what a domain cannot do as it is.
func (i *instance) state(op, message string) error {
	return &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE,
		Op: op, Subject: i.spec.Definition.GetName(), Message: message,
	}
}

// lost is why a domain ended whose monitor was killed.
func (i *instance) lostError() error {
	return &domain.Error{
		Code: codes.Unavailable, Reason: davitv1.ErrorReason_ERROR_REASON_MONITOR_LOST,
		Op: "watch domain", Subject: i.spec.Definition.GetName(), Message: "its monitor was killed",
	}
}

func notFound(op, subject, message string) error {
	return &domain.Error{
		Code: codes.NotFound, Reason: davitv1.ErrorReason_ERROR_REASON_OBJECT_NOT_FOUND,
		Op: op, Subject: subject, Message: message,
	}
}
