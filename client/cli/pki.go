package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/client/pki"
)

// pki makes the certificates of daemons and clients on a network. It talks to no daemon.
func (a *app) pki() command {
	return command{
		name: "pki", help: "make and show the certificates for a daemon on the network",
		commands: []command{a.pkiInit(), a.pkiClient(), a.pkiShow()},
	}
}

// pkiFolder is the folder that was given, or where the daemon of root, or the client of another user, looks.
func (a *app) pkiFolder(given string) pki.Folder {
	for _, folder := range []string{given, a.env(client.PKI)} {
		if folder != "" {
			return pki.Folder(folder)
		}
	}
	if own := client.OwnPKI(a.env); os.Geteuid() != 0 && own != "" {
		return pki.Folder(own)
	}
	return pki.Folder(client.SystemPKI)
}

func (a *app) pkiInit() command {
	var dir, role, algorithm string
	var hosts []string
	var days int
	return command{
		name: "init", help: "make an authority, the daemon's certificate and a first client's",
		operands: []operand{{name: "dir", help: "folder for the files; $DAVIT_PKI, or where they are looked for, when not given", optional: true, one: &dir}},
		flags: func(set *pflag.FlagSet) {
			set.StringSliceVar(&hosts, "host", nil, "`name` or address by which clients reach the daemon; may be repeated; this host's name and localhost when not given")
			set.IntVar(&days, "days", 365, "`number` of days that the certificates are valid")
			set.StringVar(&role, "role", "admin", "`role` of the first client: read, operate or admin")
			set.StringVar(&algorithm, "algorithm", pki.P256, "`kind` of the keys: p256 or ed25519")
		},
		run: func(context.Context, *pflag.FlagSet) error {
			folder := a.pkiFolder(dir)
			if len(hosts) == 0 {
				hosts = []string{"localhost", "127.0.0.1", "::1"}
				if name, err := os.Hostname(); err == nil && name != "localhost" {
					hosts = slices.Insert(hosts, 0, name)
				}
			}
			err := folder.Init(
				pki.Subject{Name: hosts[0], Hosts: hosts, Days: days, Algorithm: algorithm},
				pki.Subject{Name: "client", Role: role, Days: days, Algorithm: algorithm},
			)
			if err != nil {
				return failed(err, "Failed to make certificates")
			}
			a.extra("Certificates made in %s\n", string(folder))
			a.extra("%s", advice(folder))
			return nil
		},
	}
}

// advice is what is to be done with new certificates.
func advice(folder pki.Folder) string {
	var b strings.Builder
	b.WriteString("\nFor the daemon, in davitd.toml:\n\n[tls]\nlisten = [\"0.0.0.0:" + client.Port + "\"]\n")
	b.WriteString("certificate = \"" + folder.Certificate(pki.Server) + "\"\nkey = \"" + folder.Key(pki.Server) + "\"\n")
	b.WriteString("client_ca = \"" + folder.Certificate(pki.Authority) + "\"\n")
	for _, role := range pki.Roles {
		b.WriteString("\n[[tls.role]]\nsan = \"URI:" + pki.RoleURI(role) + "\"\nrole = \"" + role + "\"\n")
	}
	b.WriteString("\nFor the client, in ~/.config/davit/pki or " + client.SystemPKI + ": cacert.pem, clientcert.pem and clientkey.pem.\n")
	b.WriteString("Keep cakey.pem to yourself: who has it can make a client of any role.\n")
	return b.String()
}

func (a *app) pkiClient() command {
	var name, dir, role, algorithm string
	var days int
	return command{
		name: "client", help: "make the certificate of another client",
		operands: []operand{{name: "name", help: "name of the client, and of its files: NAMEcert.pem and NAMEkey.pem", one: &name}},
		flags: func(set *pflag.FlagSet) {
			set.StringVar(&role, "role", "read", "`role` of the client: read, operate or admin")
			set.IntVar(&days, "days", 365, "`number` of days that the certificate is valid")
			set.StringVar(&dir, "dir", "", "`folder` with the authority's files")
			set.StringVar(&algorithm, "algorithm", pki.P256, "`kind` of the key: p256 or ed25519")
		},
		run: func(context.Context, *pflag.FlagSet) error {
			folder := a.pkiFolder(dir)
			if err := folder.AddClient(pki.Subject{Name: name, Role: role, Days: days, Algorithm: algorithm}); err != nil {
				return failed(err, "Failed to make the certificate")
			}
			a.extra("Certificate made: %s and %s\n", folder.Certificate(name), folder.Key(name))
			return nil
		},
	}
}

func (a *app) pkiShow() command {
	var dir string
	return command{
		name: "show", help: "list the certificates of a folder",
		operands: []operand{{name: "dir", help: "folder with the files", optional: true, one: &dir}},
		run: func(context.Context, *pflag.FlagSet) error {
			folder := a.pkiFolder(dir)
			all, err := folder.List()
			if err != nil {
				return failed(err, "Failed to list certificates")
			}
			t := newTable("Name", "Subject", "Names", "Until", "Serial", "Fingerprint")
			for _, name := range sortedNames(all) {
				c := all[name]
				sum := sha256.Sum256(c.Raw)
				until := c.NotAfter.Format(time.DateOnly)
				if time.Now().After(c.NotAfter) {
					until += " (expired)"
				}
				var names []string
				names = append(names, c.DNSNames...)
				for _, ip := range c.IPAddresses {
					names = append(names, ip.String())
				}
				for _, uri := range c.URIs {
					names = append(names, uri.String())
				}
				t.add(name, c.Subject.String(), strings.Join(names, " "), until, "serial:"+c.SerialNumber.Text(16), "sha256:"+hex.EncodeToString(sum[:]))
			}
			a.printTable(t)
			return nil
		},
	}
}

// sortedNames are the names of a folder's pairs: the authority and the daemon first, then clients by name.
func sortedNames[V any](all map[string]V) []string {
	var first, names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range []string{pki.Authority, pki.Server} {
		if i := slices.Index(names, name); i >= 0 {
			first, names = append(first, name), slices.Delete(names, i, i+1)
		}
	}
	return append(first, names...)
}
