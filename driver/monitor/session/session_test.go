package session_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/davitd/davit/driver/monitor/session"
	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// writer is a runner whose commands write what the test says, and end when it says.
type writer struct {
	stdout, stderr string
	end            chan int
	signals        chan syscall.Signal
}

func (w *writer) Run(_ *monitorv1.Process, stdio session.Stdio) (session.Command, error) {
	for to, text := range map[*os.File]string{stdio.Stdout: w.stdout, stdio.Stderr: w.stderr} {
		if _, err := to.WriteString(text); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *writer) PID() int                      { return 42 }
func (w *writer) Terminal() *os.File            { return nil }
func (w *writer) Close() error                  { return nil }
func (w *writer) Signal(s syscall.Signal) error { w.signals <- s; return nil }
func (w *writer) Wait() (*monitorv1.Exit, error) {
	return &monitorv1.Exit{How: &monitorv1.Exit_Code{Code: uint32(<-w.end)}}, nil
}

func newWriter(stdout, stderr string) *writer {
	return &writer{stdout: stdout, stderr: stderr, end: make(chan int, 1), signals: make(chan syscall.Signal, 1)}
}

func exec(id string, detach bool) *monitorv1.Exec {
	return &monitorv1.Exec{Id: id, Detach: detach, Process: &monitorv1.Process{Argv: []string{"true"}}}
}

// read reads an attachment to its end, and says what came in order.
func read(t *testing.T, a *session.Attachment) (words []string) {
	t.Helper()
	for {
		output, err := a.Receive()
		if errors.Is(err, io.EOF) {
			return words
		}
		if err != nil {
			t.Fatal(err)
		}
		switch out := output.GetOutput().(type) {
		case *monitorv1.StreamOutput_Data:
			words = append(words, "out "+string(out.Data.GetData()))
		case *monitorv1.StreamOutput_Stderr:
			words = append(words, "err "+string(out.Stderr))
		case *monitorv1.StreamOutput_Exit:
			words = append(words, "exit")
		case *monitorv1.StreamOutput_Closed:
			words = append(words, "closed")
		}
	}
}

// A detached session is kept for ten minutes after its end, and its name is free then.
func TestKeptTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, w := session.NewTable(), newWriter("out", "")
		a, err := table.Run(w, exec("x", true))
		if err != nil {
			t.Fatal(err)
		}
		w.end <- 3
		if got := read(t, a); len(got) != 3 || got[2] != "closed" { // output may follow the exit
			t.Errorf("read %q", got)
		}
		a.Close()
		time.Sleep(session.KeptTime - time.Second)
		again, err := table.Attach("x")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(read(t, again), ","); got != "out out,exit,closed" {
			t.Errorf("read %q again", got)
		}
		again.Close()
		time.Sleep(2 * time.Second)
		if _, err := table.Attach("x"); wire.KindOf(err) != monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND {
			t.Errorf("after ten minutes: %v, want not found", err)
		}
	})
}

// The name of a session that was not made to stay is free as soon as its end is told.
func TestNameIsFree(t *testing.T) {
	table := session.NewTable()
	for range 100 {
		w := newWriter("", "")
		w.end <- 0
		a, err := table.Run(w, exec("x", false))
		if err != nil {
			t.Fatal(err)
		}
		read(t, a)
		a.Close()
	}
}

// Output of both streams is kept in the order in which it came, and the last of it only.
func TestKept(t *testing.T) {
	table, w := session.NewTable(), newWriter(strings.Repeat("o", 40<<10), strings.Repeat("e", 40<<10))
	a, err := table.Run(w, exec("x", true))
	if err != nil {
		t.Fatal(err)
	}
	w.end <- 0
	if got := strings.Join(read(t, a), ""); len(got) < 80<<10 {
		t.Errorf("whoever is attached reads %d bytes of %d", len(got), 80<<10)
	}
	a.Close()
	again, err := table.Attach("x")
	if err != nil {
		t.Fatal(err)
	}
	words := read(t, again)
	total := 0
	for _, word := range words[:len(words)-2] {
		total += len(word) - len("out ")
	}
	if total > session.Kept || total < session.Kept-4<<10 {
		t.Errorf("%d bytes are kept, want nearly %d", total, session.Kept)
	}
	if got := strings.Join(words[len(words)-2:], ","); got != "exit,closed" {
		t.Errorf("it ends with %q", got)
	}
}

// Who goes away without having made the session to stay kills it.
func TestGone(t *testing.T) {
	table, w := session.NewTable(), newWriter("", "")
	a, err := table.Run(w, exec("x", false))
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	a.Close()
	if got := <-w.signals; got != syscall.SIGKILL {
		t.Errorf("it was sent %v", got)
	}
	w.end <- 137
	if _, err := a.Receive(); err != nil && !errors.Is(err, os.ErrClosed) {
		t.Errorf("receiving: %v", err)
	}
}
