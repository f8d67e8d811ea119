package client

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Where the daemon of this host listens, and the name of the variable that says otherwise.
const (
	SystemSocket         = "/run/davit/davit.sock"
	SystemSocketReadOnly = "/run/davit/davit-ro.sock"
	SystemSocketAdmin    = "/run/davit/" + adminSocket
	DefaultURI           = "DAVIT_DEFAULT_URI"
)

// adminSocket is the name of the socket of AdminService, beside the others.
const adminSocket = "davit-admin.sock"

// Port is that of a daemon on the network, unless another is named.
const Port = "16514"

// target is where a daemon listens: network "unix" and a path, or "tcp" and host:port.
type target struct {
	network, address string
	pki              string // folder of certificates; empty for the usual ones
}

// resolve reads a target as [Dial] describes it.
func resolve(to string, o options) (target, error) {
	if to == "" {
		to = o.getenv(DefaultURI)
	}
	t, err := parseTarget(to, o.readOnly)
	if err != nil {
		return target{}, fmt.Errorf("dial %q: %w", to, err)
	}
	return t, nil
}

func parseTarget(to string, readOnly bool) (target, error) {
	switch {
	case to == "":
		return systemTarget(readOnly), nil
	case filepath.IsAbs(to):
		return unixTarget(to), nil
	case strings.HasPrefix(to, "unix:"), strings.HasPrefix(to, "davit:"), strings.HasPrefix(to, "davit+unix:"):
		return parseURI(to, readOnly)
	case strings.HasPrefix(to, "davit+tls:"), strings.HasPrefix(to, "tls:"):
		return parseNetworkURI(to)
	case strings.Contains(to, "://"):
		scheme, _, _ := strings.Cut(to, ":")
		return target{}, fmt.Errorf("unknown scheme %q: want the path of a socket, unix:, davit:, davit+unix: or davit+tls:, or host:port without a scheme", scheme)
	case strings.Contains(to, "/"):
		path, err := filepath.Abs(to)
		return unixTarget(path), err
	}
	if _, _, err := net.SplitHostPort(to); err != nil {
		return target{}, fmt.Errorf("neither the path of a socket nor host:port")
	}
	return target{network: "tcp", address: to}, nil
}

func unixTarget(path string) target { return target{network: "unix", address: path} }

func systemTarget(readOnly bool) target {
	if readOnly {
		return unixTarget(SystemSocketReadOnly)
	}
	return unixTarget(SystemSocket)
}

func parseURI(to string, readOnly bool) (target, error) {
	u, err := url.Parse(to)
	if err != nil {
		return target{}, err
	}
	if u.Host != "" {
		return target{}, fmt.Errorf("a local daemon has no host, not %q", u.Host)
	}
	if u.Scheme == "unix" {
		// unix:relative is an opaque URI, unix:/path and unix:///path are not.
		path := u.Path + u.Opaque
		if path == "" {
			return target{}, fmt.Errorf("no path")
		}
		abs, err := filepath.Abs(path)
		return unixTarget(abs), err
	}
	if p := u.Path + u.Opaque; p != "" && p != "/" && p != "/system" {
		return target{}, fmt.Errorf("unexpected path %q, try davit:///system", p)
	}
	if socket := u.Query().Get("socket"); socket != "" {
		if !filepath.IsAbs(socket) {
			return target{}, fmt.Errorf("socket %q is not an absolute path", socket)
		}
		return unixTarget(socket), nil
	}
	return systemTarget(readOnly), nil
}

// parseNetworkURI reads davit+tls://host[:port][/system][?pkipath=DIR].
func parseNetworkURI(to string) (target, error) {
	u, err := url.Parse(to)
	if err != nil {
		return target{}, err
	}
	switch {
	case u.Hostname() == "":
		return target{}, fmt.Errorf("there is no host, try davit+tls://host/system")
	case u.User != nil:
		return target{}, fmt.Errorf("a caller is known by its certificate, not by the name %q", u.User.Username())
	case u.Path != "" && u.Path != "/" && u.Path != "/system":
		return target{}, fmt.Errorf("unexpected path %q, try davit+tls://%s/system", u.Path, u.Host)
	}
	for key := range u.Query() {
		if key != "pkipath" {
			return target{}, fmt.Errorf("unexpected parameter %q: only pkipath is known", key)
		}
	}
	pki := u.Query().Get("pkipath")
	if pki != "" && !filepath.IsAbs(pki) {
		return target{}, fmt.Errorf("pkipath %q is not an absolute path", pki)
	}
	return target{network: "tcp", address: net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), Port)), pki: pki}, nil
}

// admin is where the same daemon is steered.
func (t target) admin() (target, error) {
	if t.network != "unix" {
		return target{}, fmt.Errorf("a daemon is steered from its own host, through a socket")
	}
	return unixTarget(filepath.Join(filepath.Dir(t.address), adminSocket)), nil
}

// credentials are how the two sides know each other: a daemon on the network with TLS, however it is reached.
func (t target) credentials(o options) (credentials.TransportCredentials, error) {
	switch {
	case t.network == "unix", o.insecure:
		return insecure.NewCredentials(), nil
	case o.tls != nil:
		config := o.tls.Clone()
		config.MinVersion = tls.VersionTLS13
		return credentials.NewTLS(config), nil
	}
	host, _, err := net.SplitHostPort(t.address)
	if err != nil {
		return nil, err
	}
	identity := o.identity
	if t.pki != "" {
		identity.Folder = t.pki
	}
	config, err := identity.config(host, o.getenv)
	if err != nil {
		return nil, err
	}
	return credentials.NewTLS(config), nil
}
