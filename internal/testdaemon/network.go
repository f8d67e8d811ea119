package testdaemon

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/davitd/davit/client/pki"
	"github.com/davitd/davit/server"
)

// Network is a daemon's way in from the network.
type Network struct {
	// Address is where it listens, on this host alone.
	Address string
	// PKI has a folder for each role, "read", "operate" and "admin", with the files of a client who has it.
	PKI string
}

// URI names the daemon, to be asked by the client that has a role.
func (n Network) URI(role string) string {
	return "davit+tls://" + n.Address + "/system?pkipath=" + url.QueryEscape(filepath.Join(n.PKI, role))
}

// StartOnNetwork runs a daemon as [Start] does that listens on the network as well.
func StartOnNetwork(tb testing.TB) *Daemon {
	tb.Helper()
	d := newDaemon(tb.TempDir())
	d.tb = tb
	if err := d.listen(tb.TempDir()); err != nil {
		tb.Fatal(err)
	}
	if err := d.run(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(d.Stop)
	return d
}

// listen has the daemon listen on the network, with certificates in a folder.
func (d *Daemon) listen(dir string) error {
	folder := pki.Folder(filepath.Join(dir, "authority"))
	host := pki.Subject{Name: "host", Hosts: []string{"127.0.0.1"}, Days: 1}
	if err := folder.Init(host, pki.Subject{Name: "client", Role: "admin", Days: 1}); err != nil {
		return err
	}
	t := &d.config.TLS
	t.Listen = []string{"127.0.0.1:0"}
	t.Certificate, t.Key, t.ClientCA = folder.Certificate("server"), folder.Key("server"), folder.Certificate("ca")
	for _, role := range pki.Roles {
		t.Role = append(t.Role, server.Role{SAN: "URI:" + pki.RoleURI(role), Role: role})
		if err := folder.AddClient(pki.Subject{Name: role, Role: role, Days: 1}); err != nil {
			return err
		}
		own := pki.Folder(filepath.Join(dir, role))
		if err := os.Mkdir(string(own), 0o700); err != nil {
			return err
		}
		for from, to := range map[string]string{
			folder.Certificate("ca"): own.Certificate("ca"), folder.Certificate(role): own.Certificate("client"), folder.Key(role): own.Key("client"),
		} {
			if err := os.Link(from, to); err != nil {
				return err
			}
		}
	}
	d.Network.PKI = dir
	return nil
}

// heard is a log of a daemon in which is told where it listens.
func heard() (*zap.Logger, func() string) {
	core, lines := observer.New(zap.InfoLevel)
	return zap.New(core), func() string {
		for _, line := range lines.FilterMessage("davitd listens on the network").All() {
			address, _ := line.ContextMap()["address"].(string)
			return address
		}
		return ""
	}
}
