//go:build linux

package client_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/testdaemon"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// echoing is a domain that greets and then says again what is typed on its console.
const echoing = `<domain type='lxc'><name>echo</name><memory>65536</memory>
	<os><type>exe</type><init>/bin/sh</init><initarg>-c</initarg><initarg>echo hello; cat</initarg></os>
	<devices><console type='pty'/><console type='pty'/></devices></domain>`

// running starts the daemon and a domain in it.
func running(t *testing.T, xml string) (*testdaemon.Daemon, *client.Client, *davitv1.DomainRef) {
	t.Helper()
	d := testdaemon.Start(t)
	c := d.Client()
	resp, err := c.CreateDomain(t.Context(), &davitv1.CreateDomainRequest{Source: client.XML(xml)})
	if err != nil {
		t.Fatal(err)
	}
	return d, c, client.ByUUID(resp.GetDomain().GetUuid())
}

// readUntil reads up to a text.
func readUntil(t *testing.T, r io.Reader, want string) {
	t.Helper()
	var got bytes.Buffer
	timer := time.AfterFunc(time.Minute, func() { panic("the console never said " + want) })
	defer timer.Stop()
	for p := make([]byte, 7); !strings.Contains(got.String(), want); {
		n, err := r.Read(p)
		got.Write(p[:n])
		if err != nil {
			t.Fatalf("reading ended with %v after %q, want %q", err, got.String(), want)
		}
	}
}

func TestConsole(t *testing.T) {
	_, c, ref := running(t, echoing)
	k, err := c.Console(t.Context(), ref, client.ConsoleOptions{Scrollback: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Close() }()
	readUntil(t, k, "hello\r\n")
	if k.Device() != "console0" || k.Offset() != 7 || k.Lost() != 0 {
		t.Errorf("console %s at %d, %d lost; want console0 at 7, 0 lost", k.Device(), k.Offset(), k.Lost())
	}
	if _, err = k.Write([]byte("ping\n")); err != nil {
		t.Fatal(err)
	}
	readUntil(t, k, "ping\r\nping\r\n") //nolint:dupword // the terminal echoes it, then the domain says it again
	if err = k.Resize(client.Size{Rows: 50, Columns: 132}); err != nil {
		t.Error(err)
	}
	other, err := c.Console(t.Context(), ref, client.ConsoleOptions{Device: "console1"})
	if err != nil || other.Device() != "console1" {
		t.Fatalf("the second console is %v, %v", other.Device(), err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Console(t.Context(), ref, client.ConsoleOptions{Device: "console7"}); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("console7 opened: %v, want NOT_FOUND", err)
	}
	if _, err := c.DestroyDomain(t.Context(), &davitv1.DestroyDomainRequest{Domain: ref}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, k); err != nil {
		t.Errorf("the console of a domain that stopped ended with %v, want EOF", err)
	}
	if _, err := k.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("writing to a console that ended: %v, want a closed pipe", err)
	}
}

// TestConsoleTaken lets one write at a time; force takes it, and who had it learns that.
func TestConsoleTaken(t *testing.T) {
	_, c, ref := running(t, echoing)
	first, err := c.Console(t.Context(), ref, client.ConsoleOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Console(t.Context(), ref, client.ConsoleOptions{}); !errors.Is(err, domain.ErrFailedPrecondition) {
		t.Errorf("a second writer: %v, want FAILED_PRECONDITION", err)
	}
	second, err := c.Console(t.Context(), ref, client.ConsoleOptions{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	if _, err := io.Copy(io.Discard, first); !errors.Is(err, client.ErrConsoleTaken) {
		t.Errorf("the console that was taken ended with %v", err)
	}
}

// TestConsoleOutlivesTheDaemon goes on where it was, in both directions, when the daemon restarts.
func TestConsoleOutlivesTheDaemon(t *testing.T) {
	d, c, ref := running(t, echoing)
	k, err := c.Console(t.Context(), ref, client.ConsoleOptions{Scrollback: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Close() }()
	readUntil(t, k, "hello\r\n")
	d.Stop()
	typed := make(chan error, 1)
	go func() {
		_, err := k.Write([]byte("still there?\n"))
		typed <- err
	}()
	time.AfterFunc(50*time.Millisecond, d.Restart)
	readUntil(t, k, "still there?\r\nstill there?\r\n")
	if err := <-typed; err != nil {
		t.Errorf("typing while the daemon was away: %v", err)
	}
	if k.Lost() != 0 {
		t.Errorf("%d bytes were lost", k.Lost())
	}
}

func TestConsoleCopy(t *testing.T) {
	_, c, ref := running(t, echoing)
	k, err := c.Console(t.Context(), ref, client.ConsoleOptions{Scrollback: true})
	if err != nil {
		t.Fatal(err)
	}
	in, typist := io.Pipe()
	reader, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- k.Copy(in, out) }()
	readUntil(t, reader, "hello\r\n")
	go func() { _, _ = typist.Write([]byte("once\n")) }()
	readUntil(t, reader, "once\r\nonce\r\n") //nolint:dupword // the terminal echoes it, then the domain says it again
	if err := typist.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Copy ended with %v after its input did, want nil", err)
	}
}

// TestConsoleCopyLeavesNothingToShow holds the output back while the input ends: what a console shows after it was left
// would be on somebody else's screen.
func TestConsoleCopyLeavesNothingToShow(t *testing.T) {
	_, c, ref := running(t, echoing)
	k, err := c.Console(t.Context(), ref, client.ConsoleOptions{Scrollback: true})
	if err != nil {
		t.Fatal(err)
	}
	in, typist := io.Pipe()
	out := &heldWriter{begun: make(chan struct{}), goOn: make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- k.Copy(in, out) }()
	<-out.begun
	if err := typist.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("Copy ended with %v while it wrote", err)
	case <-time.After(50 * time.Millisecond): // a wrong one ends at once
	}
	close(out.goOn)
	if err := <-done; err != nil {
		t.Errorf("Copy ended with %v after its input did, want nil", err)
	}
}

// heldWriter takes what is written when it is told to.
type heldWriter struct {
	once        sync.Once
	begun, goOn chan struct{}
}

func (w *heldWriter) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.begun) })
	<-w.goOn
	return len(p), nil
}
