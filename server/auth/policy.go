package auth

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Policy says who may call over the network, and shows clients who the daemon is. It is as one reading of the
// configuration and its files gave it, and never changes.
type Policy struct {
	server  tls.Certificate
	clients *x509.CertPool
	roles   []Role
	revoked map[string]bool
}

// Source is what a policy is made of.
type Source struct {
	// Certificate, Key and ClientCA are files in PEM: who the daemon is, and the authorities whose certificates it looks at.
	Certificate, Key, ClientCA string
	// Roles say what the holders of certificates may do; the first that fits decides, and who fits none may do nothing.
	Roles []Role
	// Revoked are certificates that are of no use any more: "sha256:" or "serial:" and hexadecimal digits.
	Revoked []string
}

// NewPolicy reads the files. The error names all that is wrong.
func NewPolicy(s Source) (*Policy, error) {
	p := &Policy{roles: slices.Clone(s.Roles), revoked: make(map[string]bool)}
	var errs [5]error
	p.server, errs[0] = readServer(s.Certificate, s.Key)
	p.clients, errs[1] = readAuthorities(s.ClientCA)
	for _, text := range s.Revoked {
		mark, err := parseMark(text)
		errs[2] = errors.Join(errs[2], err)
		p.revoked[mark] = true
	}
	for i, r := range s.Roles {
		if err := r.Check(); err != nil {
			errs[3] = errors.Join(errs[3], fmt.Errorf("role %d: %w", i+1, err))
		}
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return p, nil
}

// Denying is a policy by which nobody may do anything, and no handshake succeeds.
func Denying() *Policy { return &Policy{clients: x509.NewCertPool()} }

// Ends is when the daemon's own certificate is no longer valid.
func (p *Policy) Ends() time.Time {
	if p.server.Leaf == nil {
		return time.Time{}
	}
	return p.server.Leaf.NotAfter
}

// config is that of a handshake: TLS 1.3, a certificate of the client that one of the authorities signed, no resumption,
// which would pass by a policy that is stricter by now.
func (p *Policy) config() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{p.server},
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              p.clients,
		NextProtos:             []string{protocol},
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := p.admit(state.PeerCertificates, time.Now())
			return err
		},
	}
}

// protocol is the one that is spoken within TLS (ALPN).
const protocol = "h2"

// admit tells whether a certificate is one of a client that is known, whatever it may do, and when that ends: of it and
// those above it the first that is no longer valid ends it.
func (p *Policy) admit(chain []*x509.Certificate, now time.Time) (ends time.Time, err error) {
	if len(chain) == 0 {
		return ends, errors.New("there is no certificate")
	}
	leaf, others := chain[0], x509.NewCertPool()
	for _, c := range chain[1:] {
		others.AddCert(c)
	}
	// One without a purpose would pass as one of clients.
	if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		return ends, errors.New("the certificate is not one for clients")
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: p.clients, Intermediates: others, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return ends, err
	}
	for _, c := range chains {
		if end := firstEnd(c); !slices.ContainsFunc(c, p.revokes) && end.After(ends) {
			ends = end // while one way to an authority is good, others do not matter
		}
	}
	if ends.IsZero() {
		return ends, errors.New("the certificate is revoked")
	}
	return ends, nil
}

// firstEnd is when the first of some certificates is no longer valid.
func firstEnd(chain []*x509.Certificate) time.Time {
	return slices.MinFunc(chain, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
}

func (p *Policy) revokes(c *x509.Certificate) bool {
	return p.revoked[fingerprint(c)] || p.revoked["serial:"+serial(c)]
}

// judgement is what a policy says of the holder of a certificate.
type judgement struct {
	policy *Policy
	access davitv1.Access
	denied string    // why access is nothing
	ends   time.Time // from when on it is to be judged again; never if zero
}

// judge tells what the holder of a certificate may do.
func (p *Policy) judge(chain []*x509.Certificate, now time.Time) *judgement {
	ends, err := p.admit(chain, now)
	if err != nil {
		return &judgement{policy: p, denied: err.Error()}
	}
	for _, r := range p.roles {
		if r.fits(chain[0]) {
			return &judgement{policy: p, access: r.Access, ends: ends}
		}
	}
	return &judgement{policy: p, denied: "the certificate has no role", ends: ends}
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// serial is the number in lower hexadecimal digits, without leading zeros.
func serial(c *x509.Certificate) string { return c.SerialNumber.Text(16) }

// CheckMark tells what is wrong with the text that names one certificate, see [Source].
func CheckMark(text string) error {
	_, err := parseMark(text)
	return err
}

// parseMark reads what names one certificate: "sha256:" or "serial:" and hexadecimal digits, between which there may be
// colons as openssl writes them.
func parseMark(text string) (string, error) {
	kind, digits, _ := strings.Cut(text, ":")
	kind, digits = strings.ToLower(kind), strings.ToLower(strings.ReplaceAll(digits, ":", ""))
	valid := digits != "" && strings.Trim(digits, "0123456789abcdef") == ""
	switch {
	case kind == "sha256" && valid && len(digits) == 2*sha256.Size:
		return "sha256:" + digits, nil
	case kind == "serial" && valid && len(digits) <= 40:
		return "serial:" + cmp.Or(strings.TrimLeft(digits, "0"), "0"), nil
	}
	return "", fmt.Errorf("%q is neither \"sha256:\" and 64 hexadecimal digits nor \"serial:\" and up to 40", text)
}

// describe is what is told of a certificate.
func describe(c *x509.Certificate) *Certificate {
	return &Certificate{
		Subject: c.Subject.String(), CommonName: c.Subject.CommonName, Names: names(c), Serial: serial(c),
		Fingerprint: fingerprint(c), NotAfter: c.NotAfter,
	}
}
