package cli

import (
	"context"
	"strings"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) versionCommand() command {
	var daemon bool
	return command{
		name: "version", help: "show version",
		flags: func(f *pflag.FlagSet) { f.BoolVar(&daemon, "daemon", false, "report daemon version too") },
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, err := a.daemon(ctx)
			if err != nil {
				return err
			}
			v, err := c.GetVersion(ctx, &davitv1.GetVersionRequest{})
			if err != nil {
				return failed(err, "failed to get the daemon version")
			}
			if a.notation != text {
				return a.show(object{{"client", a.version}, {"daemon", v}})
			}
			driver := strings.ToUpper(v.GetDriver())
			a.print("Compiled against library: davit %s\n", a.version)
			a.print("Using library: davit %s\n", a.version)
			a.print("Using API: %s %s\n", driver, v.GetVersion())
			a.print("Running hypervisor: %s %s\n", driver, v.GetKernel())
			if daemon {
				a.print("Running against daemon: %s\n", v.GetVersion())
			}
			return nil
		},
	}
}
