package cli

import (
	"context"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) hostname() command {
	return a.hostLine("hostname", "print the hypervisor hostname", "hostname",
		func(ctx context.Context, c *client.Client) (string, error) {
			host, err := c.GetHost(ctx, &davitv1.GetHostRequest{})
			if err != nil {
				return "", failed(err, "failed to get hostname")
			}
			return host.GetHostname(), nil
		})
}

func (a *app) uri() command {
	return a.hostLine("uri", "print the hypervisor canonical URI", "uri",
		func(_ context.Context, c *client.Client) (string, error) { return c.URI(), nil })
}

func (a *app) capabilities() command {
	return a.hostLine("capabilities", "capabilities", "xml", func(ctx context.Context, c *client.Client) (string, error) {
		resp, err := c.GetCapabilities(ctx, &davitv1.GetCapabilitiesRequest{})
		if err != nil {
			return "", failed(err, "failed to get capabilities")
		}
		return resp.GetXml(), nil
	})
}

func (a *app) sysinfo() command {
	return a.hostLine("sysinfo", "print the hypervisor sysinfo", "xml", func(ctx context.Context, c *client.Client) (string, error) {
		resp, err := c.GetSysinfo(ctx, &davitv1.GetSysinfoRequest{})
		if err != nil {
			return "", failed(err, "failed to get sysinfo")
		}
		return resp.GetXml(), nil
	})
}

// hostLine is a command that prints one text about the host.
func (a *app) hostLine(name, help, member1 string, value func(context.Context, *client.Client) (string, error)) command {
	return command{
		name: name, help: help,
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, err := a.daemon(ctx)
			if err != nil {
				return err
			}
			line, err := value(ctx, c)
			if err != nil {
				return err
			}
			if a.notation != text {
				return a.show(object{{member1, line}})
			}
			a.print("%s\n", strings.TrimSuffix(line, "\n"))
			return nil
		},
	}
}
