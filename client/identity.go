package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Where certificates are looked for, and the variable that says otherwise.
const (
	PKI       = "DAVIT_PKI"
	SystemPKI = "/etc/pki/davit"
)

// Identity is the files, in PEM, with which a daemon on the network is known and knows its caller. Those that are not
// named are looked for: cacert.pem, and clientcert.pem with clientkey.pem, in the folder that $DAVIT_PKI names, else in
// $XDG_CONFIG_HOME/davit/pki (~/.config/davit/pki), else in /etc/pki/davit. The authority may be in another of these than the
// certificate.
type Identity struct {
	// CA has the authorities whose daemons are trusted. Where there is none no daemon is.
	CA string
	// PublicCAs trusts the authorities of the system, and looks for no others, where CA names none.
	PublicCAs bool
	// Certificate is who the caller is, Key the key of it. They are named together.
	Certificate, Key string
	// Folder, if it is named, is the only one in which the others are looked for.
	Folder string
}

// config reads the files for a daemon of a name.
func (i Identity) config(host string, getenv func(string) string) (*tls.Config, error) {
	if (i.Certificate == "") != (i.Key == "") {
		return nil, errors.New("read certificate: the certificate and its key are given together")
	}
	if err := i.find(getenv); err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: host}
	if i.CA != "" {
		pem, err := os.ReadFile(i.CA)
		if err != nil {
			return nil, fmt.Errorf("read certificates: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read certificates: %q holds none", i.CA)
		}
	}
	if i.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(i.Certificate, i.Key)
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		// Shown whatever authorities the daemon asks for: it is to say what it has against it.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return config, nil
}

// find names the files that are not named: the authority, and the certificate with its key, each from the first folder that has
// it. Without an authority nobody tells the daemon from others, and there is no way in.
func (i *Identity) find(getenv func(string) string) error {
	folders := i.folders(getenv)
	for _, folder := range folders {
		ca, certificate := filepath.Join(folder, "cacert.pem"), filepath.Join(folder, "clientcert.pem")
		if i.CA == "" && !i.PublicCAs && there(ca) {
			i.CA = ca
		}
		if i.Certificate == "" && there(certificate) {
			i.Certificate, i.Key = certificate, filepath.Join(folder, "clientkey.pem")
		}
	}
	places := strings.Join(folders, " or ")
	switch {
	case i.CA != "" || i.PublicCAs:
		return nil
	case i.Certificate == "":
		return fmt.Errorf("a daemon on the network is reached with TLS only, and there are no certificates in %s; davit pki makes them", places)
	}
	return fmt.Errorf("find the authority of the daemon: there is no cacert.pem in %s; copy it there, or name the file", places)
}

func there(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// folders are those in which files are looked for, in this order.
func (i Identity) folders(getenv func(string) string) []string {
	if i.Folder != "" {
		return []string{i.Folder}
	}
	if folder := getenv(PKI); folder != "" {
		return []string{folder}
	}
	var all []string
	if own := OwnPKI(getenv); own != "" {
		all = append(all, own)
	}
	return append(all, SystemPKI)
}

// OwnPKI is the user's own folder of certificates, empty for one without a home.
func OwnPKI(getenv func(string) string) string {
	if config := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(config) {
		return filepath.Join(config, "davit", "pki")
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".config", "davit", "pki")
	}
	return ""
}
