package server

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"go.uber.org/zap"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// WatchdogInterval tells how often systemd wants to hear from this process (sd_watchdog_enabled(3)): 0 for never.
func WatchdogInterval() (time.Duration, error) {
	interval, pid := os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	if interval == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	usec, err := strconv.ParseInt(interval, 10, 64)
	if err != nil || usec <= 0 || usec > int64(24*time.Hour/time.Microsecond) {
		return 0, fmt.Errorf("read interval of systemd's watchdog: WATCHDOG_USEC is %q", interval)
	}
	return time.Duration(usec) * time.Microsecond, nil
}

// Watchdog tells systemd that the daemon is well, twice an interval, each time only after alive has said so within half
// an interval. A daemon that is not well is not excused: it says nothing, and systemd ends it and starts the next one,
// which finds its domains. Watchdog returns when ctx ends.
func Watchdog(ctx context.Context, interval time.Duration, alive func(context.Context) error, log *zap.Logger) {
	tick := time.NewTicker(interval / 2)
	defer tick.Stop()
	for {
		if err := prove(ctx, interval/2, alive); err != nil && ctx.Err() == nil {
			log.Error("not well; systemd is not told otherwise", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// prove asks whether the daemon is well and tells systemd if it is. A question that is not answered in time is left
// behind: whoever does not answer may not listen either.
func prove(ctx context.Context, limit time.Duration, alive func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- alive(ctx) }()
	select {
	case err := <-answer:
		if err != nil {
			return err
		}
		return Notify("WATCHDOG=1")
	case <-ctx.Done():
		return fmt.Errorf("ask whether the daemon is well: %w", ctx.Err())
	}
}

// Alive asks the engine for a domain, which takes the locks of table and journal that every call takes.
func (s *Server) Alive(ctx context.Context) error {
	_, err := s.engine.ListDomains(ctx, &davitv1.ListDomainsRequest{PageSize: 1})
	return err
}
