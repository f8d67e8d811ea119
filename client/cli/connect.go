package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// identity is the files of TLS: whom to trust and who the caller is.
type identity struct{ ca, cert, key string }

// files are those for package client.
func (i identity) files() client.Identity {
	return client.Identity{CA: i.ca, Certificate: i.cert, Key: i.key}
}

// target is whom to talk to, and as whom.
type target struct {
	connect  string
	readOnly bool
	identity identity
}

func (a *app) target() target { return target{a.connect, a.readOnly, a.identity} }

// daemon is the connection, made when a command first needs it. The commands of a shell share one, unless a command's
// own options say otherwise.
func (a *app) daemon(ctx context.Context) (*client.Client, error) {
	if a.parent != nil && a.target() == a.parent.target() {
		return a.parent.daemon(ctx)
	}
	if a.client != nil {
		return a.client, nil
	}
	opts := []client.Option{
		client.WithEnvironment(a.env), client.WithAway(func() func() { return a.awaiting("the daemon") }),
		client.WithIdentity(a.identity.files()),
	}
	if a.readOnly {
		opts = append(opts, client.WithReadOnly())
	}
	c, err := a.dial(a.connect, opts...)
	if err != nil {
		return nil, failed(err, "failed to connect to the hypervisor")
	}
	if err := c.Connect(ctx); err != nil {
		_ = c.Close()
		return nil, failed(unreached(c, err), "failed to connect to the hypervisor")
	}
	a.client = c
	return c, nil
}

// reconnect connects to another daemon, and with it all further commands of the shell that this one is run by. The
// connection stays as it was when that does not work.
func (a *app) reconnect(ctx context.Context, to string, readOnly bool) error {
	next := *a
	next.parent, next.client, next.connect, next.readOnly = nil, nil, to, readOnly
	if _, err := next.daemon(ctx); err != nil {
		return err
	}
	holder := a
	if a.parent != nil {
		a.connect, a.readOnly = to, readOnly
		holder = a.parent
	}
	holder.hangUp()
	holder.connect, holder.readOnly, holder.identity, holder.client = to, readOnly, a.identity, next.client
	return nil
}

// hangUp closes the connection.
func (a *app) hangUp() {
	if a.client != nil {
		_ = a.client.Close()
		a.client = nil
	}
}

// unreached puts it as virsh does where the daemon is on this host.
func unreached(c interface{ Address() string }, err error) error {
	var e *domain.Error
	if !errors.As(err, &e) || e.Err == nil || !strings.HasPrefix(c.Address(), "/") {
		return err
	}
	return &socketError{c.Address(), cause(e.Err)}
}

// socketError is a socket that cannot be connected to.
type socketError struct {
	path  string
	cause error
}

func (e *socketError) Error() string {
	return fmt.Sprintf("Failed to connect socket to '%s': %s", e.path, plain(e.cause))
}

func (e *socketError) Unwrap() error { return e.cause }

// cause is the innermost error.
func cause(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

// lookup connects and finds the domain that the user means.
func (a *app) lookup(ctx context.Context, text string) (*client.Client, *davitv1.DomainInfo, error) {
	c, err := a.daemon(ctx)
	if err != nil {
		return nil, nil, err
	}
	info, err := c.Lookup(ctx, text)
	if errors.Is(err, domain.ErrNotFound) {
		return nil, nil, a.noDomain(ctx, c, text)
	}
	if err != nil {
		return nil, nil, failed(err, "failed to get domain '%s'", text)
	}
	return c, info, nil
}

// onDomain is what most commands do: find the domain, act on it, and say so or why not. Both texts have a '%s' for the
// domain as the user named it.
func (a *app) onDomain(ctx context.Context, text, done, failure string, act func(*client.Client, *davitv1.DomainRef) error) error {
	c, info, err := a.lookup(ctx, text)
	if err != nil {
		return err
	}
	if err := act(c, client.ByUUID(info.GetUuid())); err != nil {
		return failed(unsure(err), failure, text)
	}
	a.extra(done+"\n", text)
	return nil
}
