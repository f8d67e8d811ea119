package cli

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// deviceScope is what a command about a device is about. Beside the scopes of other commands there is virsh's --persistent:
// the definition of the next start and, if the domain is active, the running domain with it.
type deviceScope struct {
	scope
	persistent bool
}

func (s *deviceScope) flags(f *pflag.FlagSet) {
	f.BoolVar(&s.persistent, "persistent", false, "make live change persistent")
	s.scope.flags(f, "affect")
}

// deviceScopesExclude names the scopes that do not go together.
func deviceScopesExclude() [][2]string {
	return append([][2]string{{"persistent", "current"}}, scopesExclude()...)
}

// affects is what is changed of a domain; otherwise it is when no scope was given.
func (s deviceScope) affects(info *davitv1.DomainInfo, otherwise davitv1.Affect) davitv1.Affect {
	s.live = s.live || s.persistent && info.GetId() != 0
	s.config = s.config || s.persistent
	if !s.live && !s.config && !s.current {
		return otherwise
	}
	return s.affect()
}

// silent tells that no scope was given.
func (s deviceScope) silent() bool { return !s.live && !s.config && !s.current && !s.persistent }

// advise says what may have been meant when a device of a domain that is not active was to be changed: as with virsh the
// running domain is meant where no option says otherwise.
func (s deviceScope) advise(info *davitv1.DomainInfo, err error) error {
	if err == nil || info.GetId() != 0 || !s.silent() || !hasReason(err, davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE) {
		return err
	}
	return &hinted{err, "--config changes its definition, for the next start"}
}

// deviceChange is what is said of a change of a device, that it was done and that it was not, and what it is about.
type deviceChange struct {
	done, failure string
	scope         deviceScope
	// options are those that the device was made of, nil if it was read from a file.
	options optionPlaces
}

// attach adds a device to a domain.
func (a *app) attach(ctx context.Context, name string, source *davitv1.DeviceSource, d deviceChange) error {
	c, info, err := a.lookup(ctx, name)
	if err != nil {
		return err
	}
	resp, err := c.AttachDevice(ctx, &davitv1.AttachDeviceRequest{
		Domain: client.ByUUID(info.GetUuid()), Source: source, Affect: d.scope.affects(info, davitv1.Affect_AFFECT_LIVE),
	})
	if err != nil {
		return failed(d.scope.advise(info, d.options.named(unsure(err))), "%s", d.failure)
	}
	a.warnAll(d.options.warnings(resp.GetWarnings()))
	return a.changed(resp.GetDevice(), d.done)
}

// detach removes a device from a domain.
func (a *app) detach(ctx context.Context, name string, device *davitv1.DeviceSelector, d deviceChange) error {
	c, info, err := a.lookup(ctx, name)
	if err != nil {
		return err
	}
	resp, err := c.DetachDevice(ctx, &davitv1.DetachDeviceRequest{
		Domain: client.ByUUID(info.GetUuid()), Device: device, Affect: d.scope.affects(info, davitv1.Affect_AFFECT_LIVE),
	})
	if err != nil {
		return failed(d.scope.advise(info, unsure(err)), "%s", d.failure)
	}
	return a.changed(resp.GetDevice(), d.done)
}

// alter puts a device in the place of the one that it names. Given an etag, it does so only if the definition still has it.
func (a *app) alter(ctx context.Context, info *davitv1.DomainInfo, r *davitv1.UpdateDeviceRequest, d deviceChange) error {
	c, err := a.daemon(ctx)
	if err != nil {
		return err
	}
	r.Domain = client.ByUUID(info.GetUuid())
	resp, err := c.UpdateDevice(ctx, r)
	if err != nil {
		return failed(unsure(err), "%s", d.failure)
	}
	a.warnAll(resp.GetWarnings())
	return a.changed(resp.GetDevice(), d.done)
}

// changed says what was done or, for programs, what the device is.
func (a *app) changed(device *davitv1.Device, done string) error {
	if a.notation != text {
		return a.show(sparse{device})
	}
	if done != "" {
		a.extra("%s\n", done)
	}
	return nil
}

// readDevice reads the definition of a device for the daemon, in any of its notations.
func (a *app) readDevice(file string) (*davitv1.DeviceSource, error) {
	doc, err := a.readFile(file)
	if err != nil {
		return nil, err
	}
	a.given = string(doc)
	return client.DeviceXML(a.given), nil
}

// deviceFileOperand is the argument of commands that take a device from a file.
func deviceFileOperand(to *string) operand {
	return operand{name: "file", help: "file with a device in XML, JSON or YAML, - for standard input", one: to}
}
