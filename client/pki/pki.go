// Package pki makes the certificates with which davit's clients and daemons know each other on a network: an authority, a
// pair for the daemon and one for each client, as files of PEM in one folder.
//
//	cacert.pem     the authority, which everybody has
//	cakey.pem      its key: who has it can make a client of any role; it is of use only to make more
//	servercert.pem, serverkey.pem    the daemon's
//	clientcert.pem, clientkey.pem    the first client's; others are NAMEcert.pem and NAMEkey.pem
//
// A client's certificate says its role by a name that only the authority can give: the URI davit:role/read,
// davit:role/operate or davit:role/admin. What that name is worth, the daemon's configuration says.
//
// Nothing that is there is overwritten. Keys are for their owner only.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Names of the files, without the ending of certificate and key.
const (
	Authority = "ca"
	Server    = "server"
	Client    = "client"
)

// Algorithms of keys.
const (
	P256    = "p256"
	Ed25519 = "ed25519"
)

// Roles that a client's certificate can say.
var Roles = []string{"read", "operate", "admin"}

// Bounds of how long certificates are valid, in days.
const (
	MinDays = 1
	MaxDays = 20000
)

// RoleURI is the name by which a certificate says its role.
func RoleURI(role string) string { return "davit:role/" + role }

// Subject is whom a certificate is for.
type Subject struct {
	// Name is the common name.
	Name string
	// Hosts are the names and addresses of a daemon.
	Hosts []string
	// Role of a client.
	Role string
	// Days that the certificate is valid.
	Days int
	// Algorithm of the key.
	Algorithm string
}

// Pair is a certificate and its key.
type Pair struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// early is how much before now certificates begin to be valid, for hosts whose clocks are behind.
const early = time.Hour

// NewAuthority makes an authority, which signs itself and nothing but pairs of daemons and clients.
func NewAuthority(s Subject) (Pair, error) {
	template, err := s.template()
	if err != nil {
		return Pair{}, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return sign(template, s.Algorithm, Pair{})
}

// NewServer makes the pair of a daemon, by which clients know it under its hosts.
func (p Pair) NewServer(s Subject) (Pair, error) {
	template, err := s.template()
	if err != nil {
		return Pair{}, err
	}
	if err := s.lasting(); err != nil {
		return Pair{}, err
	}
	if len(s.Hosts) == 0 {
		return Pair{}, errors.New("make certificate of daemon: it has no host")
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range s.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if isHost(host) {
			template.DNSNames = append(template.DNSNames, host)
		} else {
			return Pair{}, fmt.Errorf("make certificate of daemon: host %q is neither a name nor an address", host)
		}
	}
	return sign(template, s.Algorithm, p)
}

// NewClient makes the pair of a client.
func (p Pair) NewClient(s Subject) (Pair, error) {
	template, err := s.template()
	if err != nil {
		return Pair{}, err
	}
	if err := s.lasting(); err != nil {
		return Pair{}, err
	}
	if !slices.Contains(Roles, s.Role) {
		return Pair{}, fmt.Errorf("make certificate of client: role %q is none of %s", s.Role, strings.Join(Roles, ", "))
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	template.URIs = []*url.URL{{Scheme: "davit", Opaque: "role/" + s.Role}}
	return sign(template, s.Algorithm, p)
}

// template is what all certificates have.
func (s Subject) template() (*x509.Certificate, error) {
	if s.Name == "" || len(s.Name) > 64 { // the limit of X.520
		return nil, fmt.Errorf("make certificate: name %q has %d bytes, want 1 to 64", s.Name, len(s.Name))
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{Organization: []string{"davit"}, CommonName: s.Name},
		NotBefore:    now.Add(-early), NotAfter: now.AddDate(0, 0, s.Days),
	}, nil
}

// lasting checks how long a certificate is to be valid.
func (s Subject) lasting() error {
	if s.Days < MinDays || s.Days > MaxDays {
		return fmt.Errorf("make certificate: %d days are not from %d to %d", s.Days, MinDays, MaxDays)
	}
	return nil
}

// sign makes a key and has its certificate signed, by itself if there is no authority.
func sign(template *x509.Certificate, algorithm string, by Pair) (Pair, error) {
	key, err := newKey(algorithm)
	if err != nil {
		return Pair{}, err
	}
	if by.Certificate == nil {
		by = Pair{template, key}
	} else if template.NotAfter.After(by.Certificate.NotAfter) {
		return Pair{}, fmt.Errorf("make certificate: the authority ends on %s, before the %s of the certificate; give fewer days",
			by.Certificate.NotAfter.Format(time.DateOnly), template.NotAfter.Format(time.DateOnly))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Certificate, key.Public(), by.Key)
	if err != nil {
		return Pair{}, fmt.Errorf("make certificate: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return Pair{}, fmt.Errorf("make certificate: %w", err)
	}
	return Pair{c, key}, nil
}

func newKey(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case P256, "":
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make key: %w", err)
		}
		return key, nil
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make key: %w", err)
		}
		return key, nil
	}
	return nil, fmt.Errorf("make key: algorithm %q is neither %q nor %q", algorithm, P256, Ed25519)
}

// isHost tells whether a text can be a host's name.
func isHost(text string) bool {
	if len(text) > 253 {
		return false
	}
	for label := range strings.SplitSeq(text, ".") {
		valid := func(r rune) bool {
			return r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		}
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") ||
			strings.ContainsFunc(label, func(r rune) bool { return !valid(r) }) {
			return false
		}
	}
	return true
}
