package auth

import "crypto/x509"

// Fits tells tests whether a role is that of a certificate, and Fingerprint what its fingerprint is.
func (r Role) Fits(c *x509.Certificate) bool { return r.fits(c) }

// Fingerprint is that of a certificate.
func Fingerprint(c *x509.Certificate) string { return fingerprint(c) }
