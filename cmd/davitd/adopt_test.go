package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// monitorOf finds the monitor of a domain, 0 if none runs.
func monitorOf(uuid string) int {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err == nil && bytes.HasPrefix(text, []byte("davit-monitor\x00"+uuid+"\x00")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			return pid
		}
	}
	return 0
}

// killMonitor kills the monitor of a domain and waits until it is dead.
func killMonitor(tb testing.TB, uuid string) {
	tb.Helper()
	pid := monitorOf(uuid)
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		tb.Fatalf("monitor %d: %v", pid, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		tb.Fatal(err)
	}
	for {
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000); n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// readLine reads up to a text.
func readLine(tb testing.TB, r io.Reader, want string) {
	tb.Helper()
	var got bytes.Buffer
	late := time.AfterFunc(testenv.Scale(2*time.Minute), func() { panic("the console never said " + want) })
	defer late.Stop()
	for p := make([]byte, 100); !bytes.Contains(got.Bytes(), []byte(want)); {
		n, err := r.Read(p)
		got.Write(p[:n])
		if err != nil {
			tb.Fatalf("reading ended with %v after %q, want %q", err, got.String(), want)
		}
	}
}

// typeUntilHeard types a line again and again, as somebody would who sees no answer: what is typed at the moment of a death is lost.
func typeUntilHeard(k *client.Console, line string) (heard func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			_, _ = k.Write([]byte(line + "\n")) // if it cannot, nothing is heard
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	return func() { close(stop); <-stopped }
}

// A client at a console notices nothing but that it waits a moment when the monitor of the domain is killed, once with davitd as well; the
// history has one start and one end, and the exit code is known.
func TestConsoleOutlivesTheMonitor(t *testing.T) {
	s := newSite(t, "lxc")
	d := s.launch(t)
	c := s.client(t, client.WithRetry(testenv.Scale(time.Minute)))
	answer, err := c.DefineDomain(t.Context(), &davitv1.DefineDomainRequest{Source: client.XML(fmt.Sprintf(`<domain type='lxc'><name>echo</name>
<memory unit='MiB'>64</memory><resource><partition>%s</partition></resource>
<os><type>exe</type><init>/bin/sh</init><initarg>-c</initarg><initarg>echo hello; while read x; do [ $x = end ] &amp;&amp; exit 7; echo got $x; done</initarg></os>
<devices><console type='pty'/></devices></domain>`, s.partition))})
	if err != nil {
		t.Fatal(err)
	}
	uuid := answer.GetDomain().GetUuid()
	if err = startDomain(t.Context(), c, "echo"); err != nil {
		t.Fatal(err)
	}
	k, err := c.Console(t.Context(), client.ByName("echo"), client.ConsoleOptions{Scrollback: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Close() }()
	readLine(t, k, "hello\r\n")
	for n, daemon := range []bool{false, true, false} {
		if daemon {
			d.kill()
		}
		killMonitor(t, uuid)
		if daemon {
			d = s.launch(t)
		}
		word := fmt.Sprintf("word%d", n)
		said := typeUntilHeard(k, word)
		readLine(t, k, "got "+word+"\r\n")
		said()
		if got := look(t, c, "echo").GetState(); got != running {
			t.Fatalf("the domain is %v", got)
		}
	}
	if _, err = k.Write([]byte("end\n")); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, k) // to the end of the domain
	var info *davitv1.DomainInfo
	for end := time.Now().Add(testenv.Scale(time.Minute)); ; time.Sleep(10 * time.Millisecond) {
		if info = look(t, c, "echo"); info.GetState() == davitv1.DomainState_DOMAIN_STATE_SHUTOFF {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the domain is %v", info.GetState())
		}
	}
	if info.GetExit().GetCode() != 7 || info.GetExit().GetUnknown() {
		t.Errorf("exit %v, want code 7", info.GetExit())
	}
	if all := history(t, c); count(all, started) != 1 || count(all, stopped) != 1 {
		t.Errorf("history: %s", tell(all))
	}
	if code := d.end(t); code != exitOK {
		t.Errorf("davitd ended with %d", code)
	}
}
