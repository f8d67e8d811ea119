package cli

import (
	"context"
	"time"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) domjobinfo() command {
	var name string
	return command{
		name: "domjobinfo", help: "domain job information",
		operands: []operand{domainOperand(&name)},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			job, err := a.job(ctx, name)
			switch {
			case err != nil:
				return err
			case a.notation != text:
				return a.show(job)
			case job.GetOperation() == "":
				a.print("%-17s %-12s\n", "Job type:", "None")
				return nil
			}
			a.print("%-17s %-12s\n", "Job type:", "Unbounded")
			a.print("%-17s %-12s\n", "Operation:", job.GetOperation())
			a.print("%-17s %-12d ms\n", "Time elapsed:", elapsed(job).Milliseconds())
			a.print("%-17s %-12d\n", "Calls waiting:", job.GetWaiting())
			return nil
		},
	}
}

// domcontrol tells whether a domain can be acted on now.
func (a *app) domcontrol() command {
	var name string
	return command{
		name: "domcontrol", help: "domain control interface state",
		operands: []operand{domainOperand(&name)},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			job, err := a.job(ctx, name)
			switch {
			case err != nil:
				return err
			case a.notation != text && job.GetOperation() == "":
				return a.show(object{{"state", "ok"}})
			case a.notation != text:
				return a.show(object{{"state", "occupied"}, {"seconds", elapsed(job).Seconds()}})
			case job.GetOperation() == "":
				a.print("ok\n")
			default:
				a.print("occupied (%0.3fs)\n", elapsed(job).Seconds())
			}
			return nil
		},
	}
}

// job is what is being done to a domain.
func (a *app) job(ctx context.Context, name string) (*davitv1.GetDomainJobResponse, error) {
	c, info, err := a.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	return c.GetDomainJob(ctx, &davitv1.GetDomainJobRequest{Domain: client.ByUUID(info.GetUuid())})
}

// elapsed is since when it is done, by this host's clock.
func elapsed(job *davitv1.GetDomainJobResponse) time.Duration {
	return max(time.Since(job.GetSince().AsTime()), 0)
}
