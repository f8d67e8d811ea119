package cli

import (
	"errors"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// unsure is the error of a call that changes something. The library has made the call again, with its request id, as long
// as it waits for a daemon; if the daemon did not answer even then, what it did is not known, and the user is told so.
func unsure(err error) error {
	var e *domain.Error
	if !errors.As(err, &e) || e.Code != codes.Unavailable || e.Reason != davitv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
		return err
	}
	return failed(err, "The daemon went away before it answered: it is not known whether this was done")
}
