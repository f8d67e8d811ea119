package store

import (
	"errors"
	"io/fs"
	"syscall"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// refusal makes an error that callers can act on; nil stays nil, and an error that is one already is kept.
func refusal(op, subject string, err error) error {
	var known *domain.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	e := &domain.Error{
		Code:    codes.Internal,
		Reason:  davitv1.ErrorReason_ERROR_REASON_INTERNAL,
		Op:      op,
		Subject: subject,
		Err:     err,
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Code = codes.ResourceExhausted
		e.Reason = davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED
		e.Message = "no space is left"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
		e.Code = codes.ResourceExhausted
		e.Reason = davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED
	case errors.Is(err, fs.ErrNotExist):
		e.Code = codes.NotFound
		e.Reason = davitv1.ErrorReason_ERROR_REASON_DOMAIN_NOT_FOUND
	}
	return e
}
