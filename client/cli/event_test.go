//go:build linux

package cli_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/client/cli"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// lockedBuffer may be read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) await(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		b.mu.Lock()
		seen := strings.Contains(b.text.String(), text)
		b.mu.Unlock()
		if seen {
			return
		}
	}
	t.Fatalf("%q does not come, only %q", text, b.text.String())
}

// TestEventOutlivesTheDaemon follows events across a restart of the daemon: each comes once, none is missed.
func TestEventOutlivesTheDaemon(t *testing.T) {
	d, c := echoDomain(t)
	var out, errOut lockedBuffer
	code := make(chan int, 1)
	go func() {
		code <- cli.Main([]string{"-c", d.Socket, "event", "--all", "--loop", "--oldest"}, cli.IO{
			In: strings.NewReader(""), Out: &out, Err: &errOut, Env: func(string) string { return "" },
		})
	}()
	out.await(t, "Defined Added")
	d.Restart()
	if _, err := c.StartDomain(t.Context(), &davitv1.StartDomainRequest{Domain: client.ByName("echo")}); err != nil {
		t.Fatal(err)
	}
	out.await(t, "Started Booted")
	kill(t, unix.SIGINT)
	if got := <-code; got != 0 {
		t.Errorf("exit code %d, %q", got, errOut.text.String())
	}
	want := "event 'lifecycle' for domain 'echo': Defined Added\n" +
		"event 'lifecycle' for domain 'echo': Started Booted\n" +
		"event loop interrupted\nevents received: 2\n\n"
	if got := out.text.String(); got != want {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

// A timeout that no clock can count is refused, in virsh's words.
func TestEventTimeoutIsBounded(t *testing.T) {
	for _, timeout := range []string{"0", "2147484", "9223372037", "18446744073709551615", "18446744073709551616"} {
		var out, errOut lockedBuffer
		code := cli.Main([]string{"-c", "/nonexistent", "event", "--all", "--timeout", timeout}, cli.IO{
			In: strings.NewReader(""), Out: &out, Err: &errOut, Env: func(string) string { return "" },
		})
		if want := "Numeric value '" + timeout + "' for <timeout> option is malformed or out of range"; code == 0 ||
			!strings.Contains(errOut.text.String(), want) {
			t.Errorf("--timeout %s: exit code %d, %q", timeout, code, errOut.text.String())
		}
	}
}
