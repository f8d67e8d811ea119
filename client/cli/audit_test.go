//go:build linux

package cli_test

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testdaemon"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Who follows the audit log over the network sees what comes, until interrupted.
func TestAuditFollows(t *testing.T) {
	d := testdaemon.StartOnNetwork(t)
	out, interrupt := piped(t, d, "-q", "-c", d.Network.URI("admin"), "audit", "--follow", "--domain", "echo")
	c := d.Client()
	if _, err := c.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: client.XML(echoXML)}); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, want := range []string{" DefineDomain 'echo' OK ", " StartDomain 'echo' OK "} {
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Fatalf("line %q, %v, want %q", lines.Text(), lines.Err(), want)
		}
		if strings.Contains(want, "Define") {
			start(t, c, "echo")
		}
	}
	interrupt()
}

// Who follows the audit log goes on when the daemon is started anew: each record comes once, none is missed.
func TestFollowedAuditOutlivesTheDaemon(t *testing.T) {
	d := testdaemon.Start(t)
	out, interrupt := piped(t, d, "-q", "audit", "--follow", "--domain", "echo")
	c := d.Client()
	if _, err := c.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: client.XML(echoXML)}); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Fatalf("line %q, %v, want %q", lines.Text(), lines.Err(), want)
		}
	}
	next(" DefineDomain 'echo' OK ")
	for range 3 {
		d.Restart()
		start(t, c, "echo")
		next(" StartDomain 'echo' OK ")
		if _, err := c.DestroyDomain(t.Context(), &davitv1.DestroyDomainRequest{Domain: client.ByName("echo")}); err != nil {
			t.Fatal(err)
		}
		next(" DestroyDomain 'echo' OK ")
	}
	interrupt()
}

// A client on the network is listed by its certificate, where it is and what it may do.
func TestClientsOnTheNetwork(t *testing.T) {
	d := testdaemon.StartOnNetwork(t)
	c, err := client.Dial(d.Network.URI("operate"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A client has connected when the daemon has sent its first frame, a moment after it was counted.
	text := run(t, d.Socket, "", "admin", "clients")
	var row string
	for line := range strings.Lines(text.stdout) {
		if strings.Contains(line, " network ") {
			row = line
		}
	}
	if !strings.Contains(row, "CN=operate,O=davit serial ") || !strings.Contains(row, " from 127.0.0.1:") || !strings.Contains(row, "   operate   ") {
		t.Errorf("the table is\n%s", text.stdout)
	}
	if !strings.Contains(text.stdout, "Client ") || !strings.Contains(text.stdout, "uid ") {
		t.Errorf("the table has no process of this host:\n%s", text.stdout)
	}
	data := run(t, d.Socket, "", "admin", "clients", "-o", "json")
	var list []struct{ Socket, Certificate, Serial, Address, Access string }
	if err := json.Unmarshal([]byte(data.stdout), &list); err != nil {
		t.Fatalf("%v in %s", err, data.stdout)
	}
	found := false
	for _, k := range list {
		if k.Socket == "network" {
			found = k.Certificate == "CN=operate,O=davit" && k.Serial != "" && strings.HasPrefix(k.Address, "127.0.0.1:") && k.Access == "operate"
		}
	}
	if !found {
		t.Errorf("the data is %s", data.stdout)
	}
}
