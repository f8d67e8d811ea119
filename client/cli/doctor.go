package cli

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) doctor() command {
	return command{
		name: "doctor", help: "tell what this host lacks, what that disables and how to mend it",
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, err := a.daemon(ctx)
			if err != nil {
				a.report(err)
				a.print("%s\n", unreachableAdvice(err))
				return exitError(1)
			}
			resp, err := c.DiagnoseHost(ctx, &davitv1.DiagnoseHostRequest{})
			if err != nil {
				return failed(err, "Failed to examine the host")
			}
			if err := a.showFindings(resp); err != nil {
				return err
			}
			for _, f := range resp.GetFindings() {
				if f.GetHealth() == davitv1.Health_HEALTH_BROKEN {
					return exitError(1)
				}
			}
			return nil
		},
	}
}

// unreachableAdvice is what to do about a daemon that cannot be reached.
func unreachableAdvice(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "No daemon listens there. Start it with 'systemctl start davitd', or name its socket with -c or $DAVIT_DEFAULT_URI."
	case errors.Is(err, syscall.ECONNREFUSED):
		return "The daemon that had this socket has ended. 'journalctl -u davitd' tells why, 'systemctl restart davitd' starts it again."
	case errors.Is(err, fs.ErrPermission):
		return "The socket belongs to root and the group of [socket] in /etc/davit/davitd.toml. Be root, join the group, or only look with -r."
	}
	return "Name the daemon's socket with -c or $DAVIT_DEFAULT_URI; 'systemctl status davitd' tells whether it runs."
}

func (a *app) showFindings(resp *davitv1.DiagnoseHostResponse) error {
	if a.notation != text {
		return a.show(resp)
	}
	t := newTable("Subject", "Health", "Seen")
	for _, f := range resp.GetFindings() {
		t.add(f.GetSubject(), healthWord(f.GetHealth()), f.GetSeen())
	}
	a.printTable(t)
	for _, f := range resp.GetFindings() {
		if f.GetDisables() == "" && f.GetRemedy() == "" {
			continue
		}
		a.print("\n%s is %s\n", cell(f.GetSubject()), healthWord(f.GetHealth()))
		if f.GetDisables() != "" {
			a.print("  disables: %s\n", cell(f.GetDisables()))
		}
		if f.GetRemedy() != "" {
			a.print("  remedy:   %s\n", cell(f.GetRemedy()))
		}
	}
	return nil
}

func healthWord(h davitv1.Health) string {
	if h == davitv1.Health_HEALTH_UNSPECIFIED {
		return "not known"
	}
	return strings.ToLower(strings.TrimPrefix(h.String(), "HEALTH_"))
}
