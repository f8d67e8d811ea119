package cli

import (
	"context"
	"errors"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// escapeCharacter ends a console: ^].
const escapeCharacter = ']' & 0x1f

func (a *app) console() command {
	var name, device string
	var force bool
	return command{
		name: "console", help: "connect to the guest console",
		operands: []operand{domainOperand(&name)},
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&device, "devname", "", "character device name")
			f.BoolVar(&force, "force", false, "force console connection (disconnect already connected sessions)")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			c, info, err := a.lookup(ctx, name)
			if err != nil {
				return err
			}
			return a.runConsole(ctx, c, info, client.ConsoleOptions{Device: device, Force: force, Scrollback: true})
		},
	}
}

// runConsole hands the terminal to a domain until the user types the escape character or the domain stops.
func (a *app) runConsole(ctx context.Context, c *client.Client, info *davitv1.DomainInfo, o client.ConsoleOptions) error {
	if !isTerminal(a.in) {
		return errNoTTY()
	}
	if info.GetId() == 0 {
		return failed(nil, "The domain is not running")
	}
	o.Follow = true
	k, err := c.Console(ctx, client.ByUUID(info.GetUuid()), o)
	if e, ok := errors.AsType[*domain.Error](err); ok && e.Reason == davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY {
		return &hinted{err, "'console --force' takes it from them"}
	}
	if err != nil {
		return err
	}
	defer func() { _ = k.Close() }()
	a.extra("Connected to domain '%s'\n", cell(info.GetName()))
	a.extra("Escape character is ^] (Ctrl + ])\n")
	t, err := rawTerminal(a.in)
	if err != nil {
		return err
	}
	defer func() {
		t.restore()
		a.extra("\n")
	}()
	defer t.followSize(ctx, k.Resize)()
	keys, letGo := takeKeyboard(a.in)
	defer letGo()
	err = k.Copy(escapable{keys, escapeCharacter}, a.out.raw())
	if ctx.Err() != nil {
		return nil // a signal ended it, as it ends virsh
	}
	if errors.Is(err, domain.ErrUnavailable) {
		return failed(err, "The connection to the daemon was lost")
	}
	return err
}
