package domain

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// ErrorDomain is the domain of every google.rpc.ErrorInfo that davit sends.
const ErrorDomain = "davit.v1"

// reasonPrefix is what a reason's name has in the schema and not on the wire.
const reasonPrefix = "ERROR_REASON_"

// Keys of ErrorInfo.metadata that hold parts of the error itself; all others are [Error.Detail].
const (
	opKey      = "davit-op"
	subjectKey = "davit-subject"
)

// A status travels in a header: about how many bytes its violations, and its message, may have.
const (
	maxStatus  = 6 << 10
	maxMessage = 2 << 10
)

// ToStatus is the error as gRPC carries it: ErrorInfo with reason and details, BadRequest with the violations,
// PreconditionFailure and ResourceInfo where they apply. nil is nil. Errors that are no [Error] keep the status that they
// have, become CANCELED or DEADLINE_EXCEEDED, or else INTERNAL.
//
// [FromStatus] gives back an equal error, but for the cause, which is part of the message then, and violations beyond
// what a header holds, which are counted.
func ToStatus(err error) *status.Status {
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		if s, ok := status.FromError(err); ok {
			return s
		}
		e = wrapForeign(err)
	}
	code := e.Code
	if code == codes.OK {
		code = codes.Internal
	}
	s := status.New(code, wireText(e.headline()))
	withDetails, detailErr := s.WithDetails(e.details(code)...)
	if detailErr != nil {
		return s
	}
	return withDetails
}

// wrapForeign makes an Error of another package's error.
func wrapForeign(err error) *Error {
	switch {
	case errors.Is(err, context.Canceled):
		return &Error{Code: codes.Canceled, Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: codes.DeadlineExceeded, Err: err}
	}
	return &Error{Code: codes.Internal, Reason: davitv1.ErrorReason_ERROR_REASON_INTERNAL, Err: err}
}

// headline is the error without its violations.
func (e *Error) headline() string {
	h := *e
	h.Violations = nil
	return h.Error()
}

// wireText is text that a header can hold.
func wireText(s string) string {
	if len(s) > maxMessage {
		s = s[:maxMessage] + "..."
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// details are the details of an error's status.
func (e *Error) details(code codes.Code) []protoadapt.MessageV1 {
	info := &errdetails.ErrorInfo{Reason: strings.TrimPrefix(e.Reason.String(), reasonPrefix), Domain: ErrorDomain, Metadata: map[string]string{}}
	for k, v := range e.Detail {
		info.Metadata[strings.ToValidUTF8(k, "\ufffd")] = strings.ToValidUTF8(v, "\ufffd")
	}
	subject := strings.ToValidUTF8(e.Subject, "\ufffd")
	if e.Op != "" {
		info.Metadata[opKey] = strings.ToValidUTF8(e.Op, "\ufffd")
	}
	if subject != "" {
		info.Metadata[subjectKey] = subject
	}
	list := []protoadapt.MessageV1{info}
	if len(e.Violations) > 0 {
		list = append(list, badRequest(e.Violations))
	}
	message := wireText(e.Message)
	switch code {
	case codes.FailedPrecondition:
		list = append(list, &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{
			{Type: info.GetReason(), Subject: subject, Description: message},
		}})
	case codes.NotFound, codes.AlreadyExists:
		list = append(list, &errdetails.ResourceInfo{ResourceType: "davit.v1.Domain", ResourceName: subject, Description: message})
	default:
	}
	return list
}

// FromStatus is the error that a gRPC call returned as an [Error], the one that the daemon made if it did. nil and [io.EOF]
// stay what they are. An error of the connection has code UNAVAILABLE; errors.Is finds context.Canceled and
// context.DeadlineExceeded under the codes of these names.
func FromStatus(err error) error {
	var known *Error
	if err == nil || errors.Is(err, io.EOF) || errors.As(err, &known) {
		return err
	}
	s, ok := status.FromError(err)
	if !ok {
		var network net.Error
		if errors.As(err, &network) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			return &Error{Code: codes.Unavailable, Err: err}
		}
		return wrapForeign(err)
	}
	e := &Error{Code: s.Code(), Message: s.Message()}
	switch e.Code {
	case codes.Canceled:
		e.Err = context.Canceled
	case codes.DeadlineExceeded:
		e.Err = context.DeadlineExceeded
	default:
	}
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			e.takeInfo(d)
		case *errdetails.BadRequest:
			e.Violations = violations(d)
		}
	}
	e.Message = strings.TrimPrefix(strings.TrimPrefix(s.Message(), e.head()), ": ")
	if e.Err != nil {
		e.Message = strings.TrimSuffix(strings.TrimSuffix(e.Message, e.Err.Error()), ": ")
	}
	return e
}

// takeInfo reads what ErrorInfo tells.
func (e *Error) takeInfo(info *errdetails.ErrorInfo) {
	if info.GetDomain() != ErrorDomain {
		return
	}
	e.Reason = davitv1.ErrorReason(davitv1.ErrorReason_value[reasonPrefix+info.GetReason()])
	e.Op, e.Subject = info.GetMetadata()[opKey], info.GetMetadata()[subjectKey]
	detail := maps.Clone(info.GetMetadata())
	delete(detail, opKey)
	delete(detail, subjectKey)
	if len(detail) > 0 {
		e.Detail = detail
	}
}
