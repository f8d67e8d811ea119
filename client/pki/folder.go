package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Folder holds the files of an authority and its pairs.
type Folder string

// Certificate and Key are the paths of a pair, "ca", "server", "client" or a client's name.
func (f Folder) Certificate(pair string) string { return filepath.Join(string(f), pair+"cert.pem") }

// Key is the path of a pair's key.
func (f Folder) Key(pair string) string { return filepath.Join(string(f), pair+"key.pem") }

// authorityDays is how long an authority is valid, unless its pairs are for longer.
const authorityDays = 3650

// Init makes an authority, the pair of a daemon under some hosts, and the pair of a first client with a role. If it
// fails it leaves nothing behind.
func (f Folder) Init(server, client Subject) error {
	for _, pair := range []string{Authority, Server, Client} {
		if err := f.vacant(pair); err != nil {
			return err
		}
	}
	made := make(map[string]Pair)
	var err error
	authority := Subject{
		Name: "davit authority of " + server.Name, Algorithm: server.Algorithm,
		Days: max(authorityDays, server.Days+1, client.Days+1),
	}
	if len(authority.Name) > 64 {
		authority.Name = "davit authority"
	}
	if made[Authority], err = NewAuthority(authority); err != nil {
		return err
	}
	if made[Server], err = made[Authority].NewServer(server); err != nil {
		return err
	}
	if made[Client], err = made[Authority].NewClient(client); err != nil {
		return err
	}
	if err = os.MkdirAll(string(f), 0o755); err != nil {
		return fmt.Errorf("make folder of certificates: %w", err)
	}
	for _, pair := range []string{Authority, Server, Client} {
		if err = f.write(pair, made[pair]); err != nil {
			for _, undo := range []string{Authority, Server, Client} {
				if undo == pair {
					break
				}
				err = errors.Join(err, os.Remove(f.Certificate(undo)), os.Remove(f.Key(undo)))
			}
			return err
		}
	}
	return nil
}

// clientName is what names of further clients are, which are names of files as well.
var clientName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]*$`)

// AddClient makes the pair of another client, signed by the authority of the folder.
func (f Folder) AddClient(s Subject) error {
	if !clientName.MatchString(s.Name) || len(s.Name) > 64 {
		return fmt.Errorf("make certificate of client: name %q is not one of up to 64 letters, digits and ._@-", s.Name)
	}
	if s.Name == Authority || s.Name == Server {
		return fmt.Errorf("make certificate of client: %q has a meaning of its own", s.Name)
	}
	if err := f.vacant(s.Name); err != nil {
		return err
	}
	authority, err := f.read(Authority)
	if err != nil {
		return err
	}
	made, err := authority.NewClient(s)
	if err != nil {
		return err
	}
	return f.write(s.Name, made)
}

// vacant fails if one of a pair's files is there.
func (f Folder) vacant(pair string) error {
	for _, path := range []string{f.Certificate(pair), f.Key(pair)} {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("make certificate: %q is there and is not overwritten: %w", path, fs.ErrExist)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("make certificate: %w", err)
		}
	}
	return nil
}

// write writes a pair's files, the key first: a certificate is there with its key or not at all.
func (f Folder) write(pair string, made Pair) error {
	secret, err := x509.MarshalPKCS8PrivateKey(made.Key)
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	if err := create(f.Key(pair), 0o600, "PRIVATE KEY", secret); err != nil {
		return err
	}
	if err := create(f.Certificate(pair), 0o644, "CERTIFICATE", made.Certificate.Raw); err != nil {
		return errors.Join(err, os.Remove(f.Key(pair)))
	}
	return nil
}

// create writes a new file.
func create(path string, mode fs.FileMode, kind string, der []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("write %s: %w", strings.ToLower(kind), err)
	}
	err = pem.Encode(file, &pem.Block{Type: kind, Bytes: der})
	if err == nil {
		err = file.Chmod(mode) // whatever the umask
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", strings.ToLower(kind), err), os.Remove(path))
	}
	return nil
}

// read reads a pair.
func (f Folder) read(pair string) (Pair, error) {
	c, err := ReadCertificate(f.Certificate(pair))
	if err != nil {
		return Pair{}, err
	}
	text, err := os.ReadFile(f.Key(pair))
	if err != nil {
		return Pair{}, fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return Pair{}, fmt.Errorf("read key: there is none in %q", f.Key(pair))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return Pair{}, fmt.Errorf("read key %q: %w", f.Key(pair), err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return Pair{}, fmt.Errorf("read key %q: it cannot sign", f.Key(pair))
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil || !bytes.Equal(public, c.RawSubjectPublicKeyInfo) {
		return Pair{}, fmt.Errorf("read key %q: it is not that of %q", f.Key(pair), f.Certificate(pair))
	}
	return Pair{c, key}, nil
}

// ReadCertificate reads the first certificate of a file.
func ReadCertificate(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("read certificate: there is none in %q", path)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read certificate %q: %w", path, err)
	}
	return c, nil
}

// List reads the certificates of the folder by the names of their pairs; those that cannot be read are errors.
func (f Folder) List() (map[string]*x509.Certificate, error) {
	entries, err := os.ReadDir(string(f))
	if err != nil {
		return nil, fmt.Errorf("list certificates: %w", err)
	}
	found := make(map[string]*x509.Certificate)
	var errs []error
	for _, entry := range entries {
		pair, ok := strings.CutSuffix(entry.Name(), "cert.pem")
		if !ok {
			continue
		}
		c, err := ReadCertificate(f.Certificate(pair))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		found[pair] = c
	}
	return found, errors.Join(errs...)
}
