package events

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// truncated refuses a position whose events are gone.
func truncated(at *davitv1.EventPosition, epoch string, oldest, newest uint64) *domain.Error {
	message := fmt.Sprintf("events after %d are no longer kept, the oldest is %d", at.GetSequence(), oldest)
	switch {
	case at.GetEpoch() != epoch:
		message = fmt.Sprintf("epoch %q is gone, the journal's is %q", at.GetEpoch(), epoch)
	case at.GetSequence() > newest:
		message = fmt.Sprintf("position %d is after the newest event, %d", at.GetSequence(), newest)
	}
	return &domain.Error{
		Code:    codes.OutOfRange,
		Reason:  davitv1.ErrorReason_ERROR_REASON_EVENT_HISTORY_TRUNCATED,
		Op:      "watch events",
		Message: message,
		Detail: map[string]string{
			"epoch":  epoch,
			"oldest": strconv.FormatUint(oldest, 10),
			"newest": strconv.FormatUint(newest, 10),
		},
	}
}

// tooSlow ends a watcher that did not keep up; it has seen everything up to the position.
func tooSlow(seen *davitv1.EventPosition, newest uint64) *domain.Error {
	return &domain.Error{
		Code:   codes.ResourceExhausted,
		Reason: davitv1.ErrorReason_ERROR_REASON_WATCHER_TOO_SLOW,
		Op:     "watch events",
		Message: fmt.Sprintf("the watcher is at event %d and the journal at %d: resume after event %d",
			seen.GetSequence(), newest, seen.GetSequence()),
		Detail: map[string]string{
			"epoch":    seen.GetEpoch(),
			"sequence": strconv.FormatUint(seen.GetSequence(), 10),
		},
	}
}

// closing ends what is asked of a closed journal.
func closing(op string) *domain.Error {
	return &domain.Error{
		Code:    codes.Unavailable,
		Reason:  davitv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN,
		Op:      op,
		Message: "the daemon is shutting down",
	}
}

// notStored tells that an event could not be written.
func notStored(err error) *domain.Error {
	e := &domain.Error{
		Code:    codes.Internal,
		Reason:  davitv1.ErrorReason_ERROR_REASON_INTERNAL,
		Op:      "append event",
		Message: "cannot write the journal",
		Err:     err,
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Code = codes.ResourceExhausted
		e.Reason = davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED
		e.Message = "no space is left for the journal"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
		e.Code = codes.ResourceExhausted
		e.Reason = davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED
	}
	return e
}
