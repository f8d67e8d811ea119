package logs

import (
	"fmt"

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

// notFound says that there is neither a domain of that name or UUID, nor a log of one that was.
func notFound(ref string) error {
	return &domain.Error{
		Code: codes.NotFound, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_NOT_FOUND,
		Message: fmt.Sprintf("no domain with matching name or uuid %q, and no log of one that is gone", ref),
		Detail:  map[string]string{"domain": ref},
	}
}

// noLog says that a domain has none.
func noLog(op, name string) error {
	return &domain.Error{
		Code: codes.NotFound, Reason: davitv1.ErrorReason_ERROR_REASON_OBJECT_NOT_FOUND,
		Op: op, Subject: name, Message: "it has none", Detail: map[string]string{"domain": name},
	}
}

// active says that a domain writes its log.
func active(op, name string) error {
	return &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE,
		Op: op, Subject: name, Message: "the domain is active",
		Detail: map[string]string{"domain": name, "state": "active", "action": op},
	}
}
