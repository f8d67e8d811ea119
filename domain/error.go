package domain

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Error is what davit says when it does not do what it was asked: what was attempted, on what, and why, with a code
// and a reason that programs act on. It is the same value on both ends of the wire: [ToStatus] and [FromStatus] carry
// it, so errors.Is(err, [ErrNotFound]) holds in a client as it does in the daemon.
type Error struct {
	// Code is the class of the error. OK counts as INTERNAL.
	Code codes.Code
	// Reason is why, for programs.
	Reason davitv1.ErrorReason
	// Op is what was attempted, a verb and its object: "start domain". May be empty.
	Op string
	// Subject is the thing: a domain's name, a path. May be empty.
	Subject string
	// Message is the cause in words, lower case, with the refused value and the limit.
	Message string
	// Detail holds every dynamic part of the message by name.
	Detail map[string]string
	// Violations name each place of a request or definition that is wrong.
	Violations []Violation
	// Err is the cause, if it is an error of another package. It does not cross the wire.
	Err error
}

// Violation is one fault of a document or request.
type Violation struct {
	// XMLPath is the place in the XML: /domain/devices/filesystem[2]/@accessmode. May be empty.
	XMLPath string
	// Field is the place in the message: devices.filesystem[1].accessmode. May be empty.
	Field string
	// Line and Column are the place in the document, from 1; 0 if it has none.
	Line, Column int
	// Message says what is wrong.
	Message string
}

// String is "12:17: /domain/name: message", as far as it is known.
func (v Violation) String() string {
	var b strings.Builder
	if v.Line > 0 {
		fmt.Fprintf(&b, "%d:%d: ", v.Line, v.Column)
	}
	place := v.XMLPath
	if place == "" {
		place = v.Field
	}
	if place != "" {
		b.WriteString(place + ": ")
	}
	b.WriteString(v.Message)
	return b.String()
}

// Classes of errors, for errors.Is: an [Error] is the one with its code.
var (
	ErrNotFound           = &Error{Code: codes.NotFound}
	ErrExists             = &Error{Code: codes.AlreadyExists}
	ErrInvalid            = &Error{Code: codes.InvalidArgument}
	ErrFailedPrecondition = &Error{Code: codes.FailedPrecondition}
	ErrUnsupported        = &Error{Code: codes.Unimplemented}
	ErrAborted            = &Error{Code: codes.Aborted}
	ErrPermission         = &Error{Code: codes.PermissionDenied}
	ErrOutOfRange         = &Error{Code: codes.OutOfRange}
	ErrExhausted          = &Error{Code: codes.ResourceExhausted}
	ErrUnavailable        = &Error{Code: codes.Unavailable}
	ErrInternal           = &Error{Code: codes.Internal}
)

// Error is "op subject: message", with one line for each violation where there are several.
func (e *Error) Error() string {
	parts := make([]string, 0, 3)
	for _, s := range []string{e.head(), e.Message} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	text := strings.Join(parts, ": ")
	switch len(e.Violations) {
	case 0:
		return text
	case 1:
		return strings.TrimPrefix(text+": "+e.Violations[0].String(), ": ")
	}
	for _, v := range e.Violations {
		text += "\n  " + v.String()
	}
	return text
}

// head is what was attempted, on what.
func (e *Error) head() string {
	if e.Subject == "" {
		return e.Op
	}
	return strings.TrimSpace(fmt.Sprintf("%s %q", e.Op, e.Subject))
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is tells whether target is e's class, one of the Err values of this package, or has e's code and reason.
func (e *Error) Is(target error) bool {
	var t *Error
	if !errors.As(target, &t) {
		return false
	}
	return t.Code == e.Code && (t.Reason == 0 || t.Reason == e.Reason)
}
