package auth

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// maxPEM bounds a file of certificates or of a key.
const maxPEM = 1 << 20

// keyMode is the widest mode that the file of a private key may have.
const keyMode fs.FileMode = 0o640

// readServer reads who the daemon is.
func readServer(certificate, key string) (tls.Certificate, error) {
	chain, err := readPEM(certificate, nil)
	secret, keyErr := readPEM(key, private)
	if err = errors.Join(err, keyErr); err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(chain, secret)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read certificate %q and key %q: %w", certificate, key, err)
	}
	return pair, nil
}

// private refuses the file of a key that others than its owner and group can read, or that somebody else owns, who
// could change it.
func private(info fs.FileInfo) error {
	if wide := info.Mode().Perm() &^ keyMode; wide != 0 {
		return fmt.Errorf("mode %#o lets others than its owner and group have the key, want %#o at most", info.Mode().Perm(), keyMode)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to user %d, want root or the daemon's user", owner.Uid)
	}
	return nil
}

// readAuthorities reads certificates of authorities, one or more.
func readAuthorities(path string) (*x509.CertPool, error) {
	text, err := readPEM(path, nil)
	if err != nil {
		return nil, err
	}
	pool, found := x509.NewCertPool(), 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("read certificates %q: there is a %q in it", path, block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read certificates %q: %w", path, err)
		}
		if !c.IsCA {
			return nil, fmt.Errorf("read certificates %q: %q is not an authority's", path, c.Subject)
		}
		pool.AddCert(c)
		found++
	}
	if found == 0 {
		return nil, fmt.Errorf("read certificates %q: there is none", path)
	}
	return pool, nil
}

// readPEM reads a file whose state, as it is when it is open, passes a check.
func readPEM(path string, check func(fs.FileInfo) error) ([]byte, error) {
	// A fifo must not hold the daemon up.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read file of TLS: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errors.New("it is not a regular file")
	case info.Size() > maxPEM:
		err = fmt.Errorf("it has %d bytes, the limit is %d", info.Size(), maxPEM)
	case check != nil:
		err = check(info)
	}
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPEM))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return text, nil
}
