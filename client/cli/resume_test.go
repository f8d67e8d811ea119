//go:build linux

package cli_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/client/cli"
	"github.com/davitd/davit/internal/testdaemon"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// background runs the program beside the test.
func background(socket string, args ...string) (out, errOut *lockedBuffer, code <-chan int) {
	out, errOut = &lockedBuffer{}, &lockedBuffer{}
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Main(append([]string{"-c", socket}, args...), cli.IO{
			In: strings.NewReader(""), Out: out, Err: errOut, Env: func(string) string { return "" },
		})
	}()
	return out, errOut, ended
}

func ends(t *testing.T, code <-chan int, want int) {
	t.Helper()
	select {
	case got := <-code:
		if got != want {
			t.Errorf("exit code %d, want %d", got, want)
		}
	case <-time.After(time.Minute):
		t.Fatal("the program does not end")
	}
}

// TestLogsOutliveTheDaemon follows a log across a restart of the daemon: no line is missing, none comes twice.
func TestLogsOutliveTheDaemon(t *testing.T) {
	d, c := echoDomain(t)
	started, err := c.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: client.ByName("echo")})
	if err != nil {
		t.Fatal(err)
	}
	uuid := started.GetDomain().GetUuid()
	out, errOut, code := background(d.Socket, "logs", "-f", "--origin", "console0", "echo")
	out.await(t, "hello\n")
	d.Restart()
	if err := d.Driver.Write(uuid, 0, []byte("after the restart\r\n")); err != nil {
		t.Fatal(err)
	}
	out.await(t, "after the restart\n")
	for _, act := range []func() error{
		func() error {
			_, err := c.DestroyDomain(t.Context(), &davitv1.DestroyDomainRequest{Domain: client.ByUUID(uuid)})
			return err
		},
		func() error {
			_, err := c.UndefineDomain(t.Context(), &davitv1.UndefineDomainRequest{Domain: client.ByUUID(uuid)})
			return err
		},
	} {
		if err := act(); err != nil {
			t.Fatal(err)
		}
	}
	ends(t, code, 0)
	if got, want := out.text.String(), "hello\nafter the restart\n"; got != want {
		t.Errorf("the log is %q, want %q; %s", got, want, errOut.text.String())
	}
}

// TestWaitOutlivesTheDaemon goes on waiting, and tells an end that happened while the daemon was away.
func TestWaitOutlivesTheDaemon(t *testing.T) {
	for name, end := range map[string]func(*testdaemon.Daemon, *client.Client, string) error{
		"after it is back": func(d *testdaemon.Daemon, c *client.Client, uuid string) error {
			d.Restart()
			_, err := c.DestroyDomain(t.Context(), &davitv1.DestroyDomainRequest{Domain: client.ByUUID(uuid)})
			return err
		},
		"while it is away": func(d *testdaemon.Daemon, _ *client.Client, uuid string) error {
			d.Stop()
			err := d.Driver.Exit(uuid, 3)
			d.Restart()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, c := echoDomain(t)
			started, err := c.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: client.ByName("echo")})
			if err != nil {
				t.Fatal(err)
			}
			out, errOut, code := background(d.Socket, "wait", "echo", "-q")
			waits(t, c, "echo")
			if err := end(d, c, started.GetDomain().GetUuid()); err != nil {
				t.Fatal(err)
			}
			ends(t, code, 0)
			if got := out.text.String(); got != "shut off\n" || errOut.text.Len() > 0 {
				t.Errorf("it said %q and %q", got, errOut.text.String())
			}
		})
	}
}

// waits returns once the daemon has a call under way that waits for a domain.
func waits(t *testing.T, c *client.Client, name string) {
	t.Helper()
	admin, err := client.DialAdmin(c.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	for until := time.Now().Add(testenv.Scale(time.Minute)); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		list, err := admin.ListClients(t.Context(), &davitv1.ListClientsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, peer := range list.GetClients() {
			if strings.Contains(strings.Join(peer.GetCalls(), " "), "WaitDomain") {
				return
			}
		}
	}
	t.Fatalf("nobody waits for %q", name)
}

// TestUnknownOutcome tells the user of a change that nobody answered.
func TestUnknownOutcome(t *testing.T) {
	_, c := echoDomain(t)
	if got := cli.Words(cli.Unsure(client.ErrNoExit)); got != client.ErrNoExit.Error() {
		t.Errorf("an error that was answered is told as %q", got)
	}
	_, err := c.GetDomain(t.Context(), &davitv1.GetDomainRequest{Domain: client.ByName("nope")})
	if got := cli.Words(cli.Unsure(err)); strings.Contains(got, "not known") {
		t.Errorf("a refusal is told as %q", got)
	}
	lost, err := client.Dial("/nonexistent/davit.sock", client.WithRetry(0))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lost.Close() }()
	_, err = lost.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: client.ByName("echo")})
	if got := cli.Words(cli.Unsure(err)); !strings.Contains(got, "it is not known whether this was done") {
		t.Errorf("a call without an answer is told as %q", got)
	}
}

// TestEditIsRefused asks at a terminal what to do about a definition that is refused, and gives up on another's change.
func TestEditIsRefused(t *testing.T) {
	d, _ := echoDomain(t)
	s := sit(t)
	s.editor = "sed -i -e 's/<title>/<colour>/' -e 's/65536/none/'"
	code := s.run(d.Socket, "edit", "echo")
	s.expect(`"none" is not a size`)
	s.expect("Failed. Try again? [y,n,i,f,?]: ")
	s.types("?")
	s.expect("i - turn off validation and try to redefine again\r\n")
	s.expect("Failed. Try again? [y,n,i,f,?]: ")
	s.types("n")
	s.leaves(code, 1)

	// Somebody else defines it while the editor runs.
	other := t.TempDir() + "/other.xml"
	if err := os.WriteFile(other, []byte(strings.Replace(echoXML, "65536", "70000", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	wait := t.TempDir() + "/go"
	s.editor = "sh -c 'while test ! -e " + wait + "; do sleep 0.05; done; sed -i s/65536/80000/ $1' sh"
	code = s.run(d.Socket, "edit", "echo")
	if r := run(t, d.Socket, "", "dumpxml", "echo"); r.code != 0 || os.WriteFile(other, []byte(strings.Replace(r.stdout, "65536", "70000", 2)), 0o600) != nil {
		t.Fatal(r)
	}
	if r := run(t, d.Socket, "", "define", other); r.code != 0 {
		t.Fatal(r)
	}
	if err := os.WriteFile(wait, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.expect("The XML configuration was changed by another user. Try again? [y,n,i,f,?]: ")
	s.types("f")
	s.leaves(code, 0)
	if r := run(t, d.Socket, "", "dominfo", "echo"); !strings.Contains(r.stdout, "80000 KiB") {
		t.Errorf("after the edit the domain is\n%s", r.stdout)
	}
}
