package engine

import (
	"fmt"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// guard does something in a goroutine of the engine. A panic in it is a fault of davit that must cost one call, not all
// domains' daemon: it is logged with its stack and becomes an error.
func (e *Engine) guard(what string, do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			e.log.Error("panic", zap.String("job", what), zap.Any("panic", r), zap.Stack("stack"))
			err = &domain.Error{
				Code: codes.Internal, Reason: davitv1.ErrorReason_ERROR_REASON_INTERNAL,
				Op: what, Message: fmt.Sprintf("a fault of davit: %v", r),
			}
		}
	}()
	return do()
}
