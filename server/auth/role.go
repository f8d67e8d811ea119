package auth

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Role grants an access to the holders of certificates that it fits. Exactly one of the patterns is set.
type Role struct {
	// SAN fits one of the alternative names, which it gives with its kind: "DNS:", "email:", "IP:" or "URI:". CN fits the
	// common name of the subject. A "*" in either stands for one or more characters other than '.', '@', '/' and ':'.
	SAN, CN string
	// Fingerprint is that of one certificate: "sha256:" and hexadecimal digits.
	Fingerprint string
	// Access is what is granted.
	Access davitv1.Access
}

// kinds are those of alternative names, as they are written.
var kinds = []string{"DNS", "email", "IP", "URI"}

// Check tells what is wrong with a role.
func (r Role) Check() error {
	set := 0
	for _, text := range []string{r.SAN, r.CN, r.Fingerprint} {
		if text != "" {
			set++
		}
	}
	var errs []error
	if set != 1 {
		errs = append(errs, fmt.Errorf("it has %d of san, cn and fingerprint, want one", set))
	}
	if r.SAN != "" {
		kind, name, _ := strings.Cut(r.SAN, ":")
		if !slices.Contains(kinds, kind) || name == "" {
			errs = append(errs, fmt.Errorf("san %q does not begin with one of the kinds %q", r.SAN, kinds))
		}
	}
	if r.Fingerprint != "" {
		if mark, err := parseMark(r.Fingerprint); err != nil || !strings.HasPrefix(mark, "sha256:") {
			errs = append(errs, fmt.Errorf("fingerprint %q is not \"sha256:\" and 64 hexadecimal digits", r.Fingerprint))
		}
	}
	if r.Access < davitv1.Access_ACCESS_READ || r.Access > davitv1.Access_ACCESS_ADMIN {
		errs = append(errs, errors.New("it is none of read, operate and admin"))
	}
	return errors.Join(errs...)
}

// ParseAccess reads the word for an access: "read", "operate" or "admin".
func ParseAccess(text string) (davitv1.Access, bool) {
	for _, a := range []davitv1.Access{davitv1.Access_ACCESS_READ, davitv1.Access_ACCESS_OPERATE, davitv1.Access_ACCESS_ADMIN} {
		if text == Word(a) {
			return a, true
		}
	}
	return davitv1.Access_ACCESS_UNSPECIFIED, false
}

// fits tells whether the role is that of a certificate.
func (r Role) fits(c *x509.Certificate) bool {
	switch {
	case r.Fingerprint != "":
		mark, err := parseMark(r.Fingerprint)
		return err == nil && mark == fingerprint(c)
	case r.CN != "":
		return like(r.CN, c.Subject.CommonName)
	case r.SAN != "":
		return slices.ContainsFunc(names(c), func(name string) bool { return like(canonical(r.SAN), canonical(name)) })
	}
	return false
}

// names are the alternative names of a certificate with their kinds.
func names(c *x509.Certificate) []string {
	var all []string
	for _, name := range c.DNSNames {
		all = append(all, "DNS:"+name)
	}
	for _, name := range c.EmailAddresses {
		all = append(all, "email:"+name)
	}
	for _, ip := range c.IPAddresses {
		all = append(all, "IP:"+ip.String())
	}
	for _, uri := range c.URIs {
		all = append(all, "URI:"+uri.String())
	}
	return all
}

// canonical takes the case away where it has no meaning.
func canonical(name string) string {
	if strings.HasPrefix(name, "DNS:") {
		return "DNS:" + strings.ToLower(name[len("DNS:"):])
	}
	return name
}

// borders are what no "*" crosses.
const borders = ".@/:"

// like tells whether a name is as a pattern says.
func like(pattern, name string) bool {
	before, after, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	rest, ok := strings.CutPrefix(name, before)
	if !ok {
		return false
	}
	for n := 1; n <= len(rest) && !strings.Contains(borders, rest[n-1:n]); n++ {
		if like(after, rest[n:]) {
			return true
		}
	}
	return false
}
