package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
)

// refused puts it for people why a handshake of TLS came to nothing, and who of the two did not like what of the other.
func refused(err error) *handshakeError {
	if text := ownRefusal(err); text != "" {
		return &handshakeError{text + ": " + err.Error(), err}
	}
	if text := daemonRefusal(err); text != "" {
		return &handshakeError{"the daemon " + text, err}
	}
	return nil
}

// handshakeError is a handshake that came to nothing because of who one of the two is.
type handshakeError struct {
	text string
	err  error
}

func (e *handshakeError) Error() string { return e.text }
func (e *handshakeError) Unwrap() error { return e.err }

// ownRefusal is what this side has against the daemon.
func ownRefusal(err error) string {
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the daemon's certificate is not for " + wrong.Host + " but for " + hosts(wrong.Certificate) +
			"; connect by one of its names, or make one that has this (davit pki init --host)"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the daemon's certificate is signed by an authority that this side does not trust (cacert.pem, --cacert)"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch invalid.Reason {
		case x509.Expired:
			if c := invalid.Cert; c != nil && time.Now().Before(c.NotBefore) {
				return "the daemon's certificate is not valid before " + c.NotBefore.Format(time.DateTime) + ": a clock is wrong"
			}
			return "the daemon's certificate has expired"
		case x509.IncompatibleUsage:
			return "the daemon's certificate is not one for daemons"
		default:
			return "the daemon's certificate is refused: " + invalid.Error()
		}
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "what listens there does not speak TLS"
	}
	return ""
}

// hosts lists whom a certificate is for.
func hosts(c *x509.Certificate) string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no host"
	}
	return strings.Join(names, ", ")
}

// alerts are what a daemon says when it ends a handshake (RFC 8446, section 6), as crypto/tls writes them.
var alerts = map[string]string{
	"tls: certificate required":           "wants a certificate, and this side has shown none",
	"tls: unknown certificate authority":  "does not trust the authority that signed your certificate (client_ca)",
	"tls: expired certificate":            "refuses your certificate because it is expired or not yet valid",
	"tls: bad certificate":                "refuses your certificate: it is revoked, not one for clients, or not signed by the authority of that name (client_ca); the daemon's log has more",
	"tls: revoked certificate":            "refuses your certificate because it is revoked",
	"tls: unsupported certificate":        "refuses your certificate because of its kind",
	"tls: protocol version not supported": "does not speak this version of TLS: 1.3 is needed",
	"tls: no application protocol":        "does not speak gRPC",
	"tls: handshake failure":              "and this side have no way of TLS in common",
	"tls: internal error":                 "has a fault of its own in TLS; its log has more",
}

// daemonRefusal is what the daemon has against this side.
func daemonRefusal(err error) string {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return ""
	}
	if text, ok := alerts[op.Err.Error()]; ok {
		return text
	}
	return "ended the handshake: " + op.Err.Error()
}

// unauthenticated is the error of a daemon with which no handshake succeeds, whoever is at fault.
func (c *Client) unauthenticated(refusal *handshakeError) error {
	return &domain.Error{
		Code: codes.Unauthenticated, Op: "connect to", Subject: c.target.address,
		Detail: map[string]string{"address": c.target.address}, Err: refusal,
	}
}

// told is a connection of TLS that notes why the daemon ended it: in TLS 1.3 it looks at the client's certificate when
// for the client the handshake is over.
type told struct {
	net.Conn
	link *link
}

func (t told) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	if err != nil {
		t.link.note(err)
	}
	return n, err
}

// note remembers why a handshake came to nothing, if that is why.
func (l *link) note(err error) {
	if refusal := refused(err); refusal != nil {
		l.refusal.Store(refusal)
	}
}
