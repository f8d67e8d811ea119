package debiantest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server"
)

const (
	// domainName is that of the domain, and by that the name of the Debian.
	domainName = "debian"
	// domainUUID is its id, and by that the Debian's.
	domainUUID = "3f9c1a52-6d0e-4b7c-9a41-0c5d2e8b7f61"
	// hostLink is the host's end of its network.
	hostLink = "davitdebian0"
)

// definition is the domain, but for its root.
const definition = `<domain type='lxc' xmlns:davit='https://github.com/davitd/davit/schemas/domain/1.0'>
  <name>` + domainName + `</name>
  <uuid>` + domainUUID + `</uuid>
  <memory unit='MiB'>1024</memory>
  <resource><partition>/test-davit</partition></resource>
  <os><type>exe</type><init>/sbin/init</init></os>
  <on_reboot>restart</on_reboot>
  <devices>
    %s
    <interface type='ethernet'><target dev='` + hostLink + `'/><ip address='10.111.0.2' prefix='24'/></interface>
    <console type='pty'/>
    <console type='pty'><target port='1'/></console>
  </devices>
  <davit:profile name='system'/>
</domain>
`

// host is a davitd with its state in a folder, in a network namespace of its own.
type host struct {
	t      *testing.T
	root   string
	daemon *exec.Cmd
	client *client.Client
	log    bytes.Buffer // read once the daemon has ended
}

// patience is how long a condition is waited for.
func patience() time.Duration { return testenv.Scale(5 * time.Minute) }

// newHost starts davitd and waits until it answers. It ends with the test.
func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, root: t.TempDir()}
	t.Setenv("DAVIT_MONITOR", testenv.Binary(t, "davit-monitor"))
	config := fmt.Sprintf("[idmap]\ndir = %q\nbase = 2050000000\ncount = 16\n", filepath.Join(h.root, "ids"))
	if err := os.WriteFile(server.RootedConfigPath(h.root), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	var err error
	if h.client, err = client.Dial(h.socket()); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) socket() string { return filepath.Join(h.root, "run", server.AdminSocket) }

// start starts davitd, which tells us that it is ready as it tells systemd.
func (h *host) start() {
	h.t.Helper()
	address := filepath.Join(h.root, "ready") // a name without a file would be of another network namespace
	ready, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = ready.Close() })
	h.daemon = exec.Command(testenv.Binary(h.t, "davitd"), "--root", h.root, "--log-level", "warn")
	h.daemon.Stdout, h.daemon.Stderr = &h.log, &h.log
	h.daemon.Env = append(os.Environ(), "NOTIFY_SOCKET="+address)
	h.daemon.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if err = h.daemon.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(h.stop)
	if err = ready.SetReadDeadline(time.Now().Add(patience())); err != nil {
		h.t.Fatal(err)
	}
	message := make([]byte, 64)
	n, err := ready.Read(message)
	if err != nil || string(message[:n]) != "READY=1" {
		h.t.Fatalf("davitd says %q, %v", message[:n], err)
	}
}

// stop ends davitd, and the domain before it if a test failed.
func (h *host) stop() {
	if h.client != nil {
		_ = h.client.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience())
	defer cancel()
	if h.t.Failed() {
		_ = h.command(ctx, "destroy", domainName).Run()
	}
	_ = h.command(ctx, "undefine", domainName).Run()
	_ = h.daemon.Process.Signal(syscall.SIGTERM)
	if err := h.daemon.Wait(); err != nil {
		h.t.Errorf("davitd: %v", err)
	}
	if h.t.Failed() {
		h.t.Logf("log of davitd:\n%s", &h.log)
	}
}

// command is davit's command line.
func (h *host) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, testenv.Binary(h.t, "davit"), args...)
	c.Env = append(os.Environ(), "DAVIT_DEFAULT_URI="+h.socket())
	return c
}

// davit runs davit, which must not fail.
func (h *host) davit(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience())
	defer cancel()
	out, err := h.command(ctx, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("davit %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// define defines the domain with a root.
func (h *host) define(root string) {
	h.t.Helper()
	path := filepath.Join(h.root, "debian.xml")
	if err := os.WriteFile(path, fmt.Appendf(nil, definition, root), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.davit(h.t, "define", path)
}

// inside runs a script in the domain.
func (h *host) inside(ctx context.Context, script string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience())
	defer cancel()
	out, err := h.command(ctx, "exec", domainName, "--", "/bin/bash", "-c", prelude+script).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// info is what davitd knows of the domain.
func (h *host) info(t *testing.T) *davitv1.DomainInfo {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience())
	defer cancel()
	info, err := h.client.Lookup(ctx, domainName)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// until waits for a condition; the error is why it is not met yet.
func until(t *testing.T, what string, met func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience())
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := met()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("wait until %s: %v", what, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}
