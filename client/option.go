package client

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"time"
)

// Option changes how [Dial] connects.
type Option func(*options)

type options struct {
	tls      *tls.Config
	identity Identity
	insecure bool
	readOnly bool
	retry    time.Duration
	away     func() func()
	dial     func(context.Context) (net.Conn, error)
	getenv   func(string) string
}

// newOptions are what Dial begins with, changed by what it was given.
func newOptions(opts []Option) options {
	o := options{retry: defaultRetry, getenv: os.Getenv}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// WithTLS connects to a daemon on the network with this configuration, of TLS 1.3, in place of an [Identity]. It says whom
// to trust (RootCAs) and who the caller is (Certificates). It has no meaning for a socket of this host.
func WithTLS(config *tls.Config) Option {
	return func(o *options) { o.tls = config }
}

// WithIdentity names files with which a daemon on the network is known and knows its caller.
func WithIdentity(i Identity) Option {
	return func(o *options) { o.identity = i }
}

// WithInsecure connects to host:port without TLS: for tests on one machine.
func WithInsecure() Option {
	return func(o *options) { o.insecure = true }
}

// WithReadOnly changes nothing: calls that need more than to look are refused with domain.ErrPermission, by the client
// itself. Where the target names no socket it is the one of this host's daemon that every user may read from.
func WithReadOnly() Option {
	return func(o *options) { o.readOnly = true }
}

// WithRetry sets how long calls wait for a daemon that went away, or for room among this caller's other calls, 10 s unless
// given. A daemon that never answered is not waited for; 0 waits for none.
func WithRetry(window time.Duration) Option {
	return func(o *options) { o.retry = window }
}

// WithAway is told when a call begins to wait for a daemon that went away, and calls what it returned when the wait is over,
// for whoever wants to show it. It may be called by several goroutines at a time.
func WithAway(away func() (back func())) Option {
	return func(o *options) { o.away = away }
}

// WithDialer connects through a function of the caller, whatever the target: a tunnel, or a server in the same process. What
// goes through it is as it is for the target: TLS for a daemon on the network, nothing for a socket of this host.
func WithDialer(dial func(context.Context) (net.Conn, error)) Option {
	return func(o *options) { o.dial = dial }
}

// WithEnvironment reads DAVIT_DEFAULT_URI, and what [Identity] depends on, from elsewhere than the process's environment.
func WithEnvironment(getenv func(string) string) Option {
	return func(o *options) { o.getenv = getenv }
}
