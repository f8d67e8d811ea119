package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) shutdown() command {
	var name, mode string
	return command{
		name: "shutdown", help: "gracefully shutdown a domain",
		operands: []operand{domainOperand(&name)},
		flags:    func(f *pflag.FlagSet) { f.StringVar(&mode, "mode", "", modeHelp) },
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			ways, err := shutdownModes(mode)
			if err != nil {
				return err
			}
			return a.onDomain(ctx, name, "Domain '%s' is being shutdown", "Failed to shutdown domain '%s'",
				func(c *client.Client, ref *davitv1.DomainRef) error {
					return firstHeard(ways, func(how davitv1.ShutdownMode) error {
						_, err := c.ShutdownDomain(ctx, &davitv1.ShutdownDomainRequest{Domain: ref, Mode: how})
						return err
					})
				})
		},
	}
}

const modeHelp = "how the guest is asked: initctl or signal, or both with a comma, tried in this order; as its init wants it when not given"

// shutdownModes reads the value of --mode: ways to ask, in order.
func shutdownModes(list string) ([]davitv1.ShutdownMode, error) {
	if list == "" {
		return []davitv1.ShutdownMode{davitv1.ShutdownMode_SHUTDOWN_MODE_UNSPECIFIED}, nil
	}
	var ways []davitv1.ShutdownMode
	for word := range strings.SplitSeq(list, ",") {
		switch word {
		case "initctl":
			ways = append(ways, davitv1.ShutdownMode_SHUTDOWN_MODE_INITCTL)
		case "signal":
			ways = append(ways, davitv1.ShutdownMode_SHUTDOWN_MODE_SIGNAL)
		default:
			return nil, failed(nil, "Unknown mode %s value, expecting 'initctl' or 'signal'", word)
		}
	}
	return ways, nil
}

// firstHeard asks the guest in one way after the other until it can hear one.
func firstHeard(ways []davitv1.ShutdownMode, ask func(davitv1.ShutdownMode) error) error {
	var err error
	for _, how := range ways {
		if err = ask(how); !errors.Is(err, domain.ErrFailedPrecondition) {
			return err
		}
	}
	return err
}
