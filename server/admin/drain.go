package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// jobInterval is how often jobs are counted whose callers no longer wait.
const jobInterval = 50 * time.Millisecond

// Drain refuses calls that change something from now on and waits for those that run, and for what is left of calls whose
// callers went away. When the time is over the daemon stays drained: to ask again waits again.
func (s *Service) Drain(ctx context.Context, q *davitv1.DrainRequest) (*davitv1.DrainResponse, error) {
	if err := domain.RefuseUnknown(q); err != nil {
		return nil, err
	}
	if t := q.GetTimeout(); t != nil {
		if err := t.CheckValid(); err != nil || t.AsDuration() < 0 {
			return nil, invalid("timeout", "%v is no time to wait", t.AsDuration())
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.AsDuration())
		defer cancel()
	}
	running := s.options.Gate.Close()
	s.log.Info("the daemon is drained", zap.Int("calls", running))
	if err := s.rest(ctx); err != nil {
		return nil, err
	}
	return &davitv1.DrainResponse{Awaited: uint32(running)}, nil
}

// rest waits until nothing runs that changes something.
func (s *Service) rest(ctx context.Context) error {
	poll := time.NewTicker(jobInterval)
	defer poll.Stop()
	for {
		running, draining, changed := s.options.Gate.look()
		_, _, jobs := s.options.Census()
		switch {
		case !draining:
			return &domain.Error{
				Code: codes.Aborted, Reason: davitv1.ErrorReason_ERROR_REASON_JOB_IN_PROGRESS,
				Op: "drain daemon", Message: "calls were let in again meanwhile", Detail: map[string]string{"job": "undrain"},
			}
		case running == 0 && jobs == 0:
			return nil
		}
		select {
		case <-changed:
		case <-poll.C:
		case <-ctx.Done():
			return late(ctx, running, jobs)
		}
	}
}

// late says what still runs.
func late(ctx context.Context, running, jobs int) error {
	code := codes.Canceled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		code = codes.DeadlineExceeded
	}
	return &domain.Error{
		Code: code, Op: "drain daemon",
		Message: fmt.Sprintf("%d calls and %d jobs of domains still run; the daemon stays drained", running, jobs),
		Detail:  map[string]string{"calls": fmt.Sprint(running), "jobs": fmt.Sprint(jobs)},
	}
}

// Undrain lets calls in again.
func (s *Service) Undrain(_ context.Context, q *davitv1.UndrainRequest) (*davitv1.UndrainResponse, error) {
	if err := domain.RefuseUnknown(q); err != nil {
		return nil, err
	}
	s.options.Gate.Open()
	s.log.Info("the daemon is not drained any more")
	return &davitv1.UndrainResponse{}, nil
}
