package client

import (
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

// target is where a daemon listens: network "unix" and a path, or "tcp" and host:port.
type target struct {
	network, address string
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
	if t.network == "tcp" && o.tls == nil && !o.insecure && o.dial == nil {
		return target{}, fmt.Errorf("dial %q: a daemon on the network is reached with TLS only", to)
	}
	return t, nil
}

func parseTarget(to string, readOnly bool) (target, error) {
	switch {
	case to == "":
		return systemTarget(readOnly), nil
	case filepath.IsAbs(to):
		return target{"unix", to}, nil
	case strings.HasPrefix(to, "unix:"), strings.HasPrefix(to, "davit:"), strings.HasPrefix(to, "davit+unix:"):
		return parseURI(to, readOnly)
	case strings.Contains(to, "://"):
		scheme, _, _ := strings.Cut(to, ":")
		return target{}, fmt.Errorf("unknown scheme %q: want the path of a socket, unix:, davit: or davit+unix:, or host:port without a scheme", scheme)
	case strings.Contains(to, "/"):
		path, err := filepath.Abs(to)
		return target{"unix", path}, err
	}
	if _, _, err := net.SplitHostPort(to); err != nil {
		return target{}, fmt.Errorf("neither the path of a socket nor host:port")
	}
	return target{"tcp", to}, nil
}

func systemTarget(readOnly bool) target {
	if readOnly {
		return target{"unix", SystemSocketReadOnly}
	}
	return target{"unix", SystemSocket}
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
		return target{"unix", abs}, err
	}
	if p := u.Path + u.Opaque; p != "" && p != "/" && p != "/system" {
		return target{}, fmt.Errorf("unexpected path %q, try davit:///system", p)
	}
	if socket := u.Query().Get("socket"); socket != "" {
		if !filepath.IsAbs(socket) {
			return target{}, fmt.Errorf("socket %q is not an absolute path", socket)
		}
		return target{"unix", socket}, nil
	}
	return systemTarget(readOnly), nil
}

// admin is where the same daemon is steered.
func (t target) admin() (target, error) {
	if t.network != "unix" {
		return target{}, fmt.Errorf("a daemon is steered from its own host, through a socket")
	}
	return target{"unix", filepath.Join(filepath.Dir(t.address), adminSocket)}, nil
}

func (t target) credentials(o options) credentials.TransportCredentials {
	if t.network == "unix" || o.insecure || o.tls == nil {
		return insecure.NewCredentials()
	}
	config := o.tls.Clone()
	config.MinVersion = tls.VersionTLS13
	return credentials.NewTLS(config)
}
