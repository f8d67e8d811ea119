package wire

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Error is why a monitor or keeper did not do what it was asked. It is the same value on both ends.
type Error struct {
	// Operation that was tried: "mount proc".
	Operation string
	// Object on which: "/proc". May be empty.
	Object string
	// Errno is the kernel's error, 0 if it was not the kernel.
	Errno syscall.Errno
	// Message is the cause in words, when it was not the kernel.
	Message string
	// Step of the plan, from 1; 0 if none.
	Step int
	// Kind is what a caller can do about it.
	Kind monitorv1.ErrorKind
}

// Error is `operation "object": cause`.
func (e *Error) Error() string {
	head := e.Operation
	if e.Object != "" {
		head = strings.TrimSpace(fmt.Sprintf("%s %q", head, e.Object))
	}
	parts := make([]string, 0, 3)
	for _, s := range []string{head, e.Message} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if e.Errno != 0 && !strings.Contains(e.Message, e.Errno.Error()) {
		parts = append(parts, e.Errno.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the kernel's error, if it was one.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// KindOf tells what a caller can do about an error.
func KindOf(err error) monitorv1.ErrorKind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return monitorv1.ErrorKind_ERROR_KIND_UNSPECIFIED
}

// ToProto is an error as it travels. An error of another package that knows how it travels (ToProto) is asked.
func ToProto(err error) *monitorv1.Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return &monitorv1.Error{
			Operation: e.Operation, Object: e.Object, Errno: uint32(e.Errno), Message: e.Message,
			Step: uint32(max(e.Step, 0)), Kind: e.Kind,
		}
	}
	if e, ok := errors.AsType[interface {
		error
		ToProto() *monitorv1.Error
	}](err); ok {
		return e.ToProto()
	}
	// The kernel's number comes after the words that tell what was done, in Error as in the wrapping of Go.
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return &monitorv1.Error{
			Operation: strings.TrimSuffix(err.Error(), ": "+errno.Error()), Errno: uint32(errno),
		}
	}
	return &monitorv1.Error{Message: err.Error()}
}

// FromProto is an error that travelled; nil gives nil.
func FromProto(e *monitorv1.Error) error {
	if e == nil {
		return nil
	}
	return &Error{
		Operation: e.GetOperation(), Object: e.GetObject(), Errno: syscall.Errno(e.GetErrno()), Message: e.GetMessage(),
		Step: int(e.GetStep()), Kind: e.GetKind(),
	}
}
