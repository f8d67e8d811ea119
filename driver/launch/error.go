package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Error is why a container was not made, or a command not run in it: which step of the plan it was, what was tried on
// what, and what the kernel said.
type Error struct {
	// Step is the operation of the plan, from 1; 0 if it was none of them.
	Step int
	// Operation is what was tried: "mount proc".
	Operation string
	// Object is what it was tried on: "/proc". May be empty.
	Object string
	// Errno is the kernel's error number, 0 if it was not the kernel.
	Errno syscall.Errno
	// Message is the cause in words, where there is more to say than the error number does.
	Message string
	// Kind tells what can be done about it.
	Kind monitorv1.ErrorKind
}

// Error is "operation object: cause".
func (e *Error) Error() string {
	text := e.Operation
	if e.Object != "" {
		text += " " + quote(e.Object)
	}
	return strings.Join(append([]string{text}, e.causes()...), ": ")
}

func (e *Error) causes() []string {
	var causes []string
	if e.Message != "" {
		causes = append(causes, e.Message)
	}
	if e.Errno != 0 && !strings.Contains(e.Message, e.Errno.Error()) {
		causes = append(causes, e.Errno.Error())
	}
	return causes
}

// Unwrap gives the kernel's error, so that errors.Is(err, fs.ErrNotExist) holds.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// ToProto is the error as it travels.
func (e *Error) ToProto() *monitorv1.Error {
	return &monitorv1.Error{
		Operation: e.Operation, Object: e.Object, Errno: uint32(e.Errno), Message: e.Message, Step: uint32(e.Step), Kind: e.Kind,
	}
}

// What a caller can be wrong about, and is told apart from what went wrong.
const (
	opRun         = "run"
	opEnterFolder = "enter working directory"
	opBecome      = "set user and groups"
)

// failed is the error of a step that a call of another package did not do.
func failed(s step, err error) *Error {
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	e := &Error{Step: s.number, Operation: s.operation, Object: s.object}
	errors.As(err, &e.Errno)
	e.Kind = kindOf(e.Errno)
	// What the error number alone would say is not worth saying twice.
	var path *fs.PathError
	if !errors.As(err, &path) || path.Path != s.object {
		if !isBare(err) {
			e.Message = err.Error()
		}
	}
	return e
}

// kindOf tells what can be done about an error number: make room.
func kindOf(errno syscall.Errno) monitorv1.ErrorKind {
	switch errno {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.ENOSPC, syscall.EDQUOT, syscall.EUSERS:
		return monitorv1.ErrorKind_ERROR_KIND_EXHAUSTED
	default:
		return monitorv1.ErrorKind_ERROR_KIND_UNSPECIFIED
	}
}

// isBare tells whether an error is a number of the kernel and nothing more.
func isBare(err error) bool {
	_, bare := err.(syscall.Errno) //nolint:errorlint // the question is what err is itself
	return bare
}

// invalid is the error of a plan that makes no sense.
//
//go:noinline
func invalid(s step, format string, args ...any) *Error {
	return &Error{
		Step: s.number, Operation: s.operation, Object: s.object, Message: fmt.Sprintf(format, args...),
		Kind: monitorv1.ErrorKind_ERROR_KIND_INVALID,
	}
}

// folderError is the error of a working directory that cannot be one: whoever asked for it is to name another.
func folderError(name string, errno syscall.Errno) *Error {
	e := &Error{Operation: opEnterFolder, Object: name, Errno: errno, Kind: monitorv1.ErrorKind_ERROR_KIND_INVALID}
	if kind := kindOf(errno); kind != monitorv1.ErrorKind_ERROR_KIND_UNSPECIFIED {
		e.Kind = kind
	}
	return e
}

// errEnded is the error of what needs a container that runs.
func errEnded() *Error {
	return &Error{
		Operation: "join container", Message: "it has ended", Kind: monitorv1.ErrorKind_ERROR_KIND_STATE,
	}
}

// notHeld is the error of descriptors of a container that cannot be duplicated: they are closed when it has ended.
func notHeld(err error) *Error {
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return failed(step{operation: "duplicate descriptors"}, err)
	}
	return errEnded()
}

// quote writes a string from a user so that no byte of it can be taken for something else.
func quote(s string) string { return fmt.Sprintf("%q", s) }
