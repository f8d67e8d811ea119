package native_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/native"
)

// injectVar tells a process that it is to have its system calls answered.
const injectVar = "DAVIT_TEST_INJECT"

// outcome is what such a process tells of its start.
type outcome struct {
	Error string
}

// beInjected starts a domain, tells what came of it, and ends the domain and itself. Its descriptors are the host's network namespace, and the
// ends of two pipes: by one it tells, and by the other it is told that it was heard.
func beInjected() {
	var todo doom
	if err := json.Unmarshal([]byte(os.Getenv(injectVar)), &todo); err != nil {
		panic(err)
	}
	_ = os.Unsetenv(injectVar)
	tell, heard := os.NewFile(4, "tell"), os.NewFile(5, "heard")
	todo.Options.Network = os.NewFile(3, "network")
	d, err := native.New(todo.Options)
	if err != nil {
		panic(err)
	}
	runtime.LockOSThread()
	fd, err := listen()
	runtime.UnlockOSThread()
	if err != nil {
		panic(err)
	}
	say := func(v any) {
		text, _ := json.Marshal(v)
		_, _ = tell.Write(append(text, '\n'))
		_, _ = io.ReadFull(heard, make([]byte, 1))
	}
	say(fd)
	ctx, cancel := aWhile()
	defer cancel()
	s := todo.Stage
	s.d = d
	i, err := d.Start(ctx, s.spec())
	var o outcome
	if err != nil {
		o.Error = err.Error()
	}
	say(o)
	if err == nil {
		err = errors.Join(i.Kill(ctx), i.Release(ctx))
	} else {
		err = nil
	}
	if err = errors.Join(err, d.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// inject starts a domain in a process of its own, of whose system calls one fails.
func (h *networkHost) inject(t *testing.T, s *stage, fail *call) (*warden, outcome) {
	t.Helper()
	options := h.options
	options.Network = nil
	text, err := json.Marshal(doom{Stage: s, Options: options})
	if err != nil {
		t.Fatal(err)
	}
	told, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	heard, hear, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := aWhile()
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), injectVar+"="+string(text))
	cmd.ExtraFiles = []*os.File{h.options.Network, tell, heard}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = tell.Close(), heard.Close()
	defer func() {
		_, _ = told.Close(), hear.Close()
		if t.Failed() { // what it left is not to spoil what follows
			d := h.open(t)
			_ = errors.Join(d.Sweep(context.Background(), nil), d.Close())
		}
	}()
	lines := bufio.NewReader(told)
	listen := func(v any) {
		t.Helper()
		line, err := lines.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, v)
		}
		if err != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("%v: %v\n%s", fail, err, said.String())
		}
	}
	var number int
	listen(&number)
	w := &warden{
		fd: take(t, cmd.Process.Pid, number), fail: fail, armed: true, count: make(map[call]int), polls: make(map[uint32]bool),
	}
	answered := make(chan struct{})
	go func() { defer close(answered); w.watch() }()
	goOn := func() { _, _ = hear.Write([]byte{0}) }
	goOn()
	var o outcome
	listen(&o)
	w.mu.Lock()
	w.armed = false
	w.mu.Unlock()
	goOn()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %v\n%s", fail, err, said.String())
	}
	<-answered
	_ = unix.Close(w.fd)
	return w, o
}

// kinds are the calls of a start, by who makes which, in order.
func kinds(calls []call) (all [][]call) {
	at := make(map[call]int)
	for _, c := range calls {
		kind := call{who: c.who, number: c.number}
		n, known := at[kind]
		if !known {
			n, all = len(all), append(all, nil)
			at[kind] = n
		}
		all[n] = append(all[n], c)
	}
	return all
}

// elsewise are the calls of which an error does not say why they failed, and what it says instead.
var elsewise = map[call]string{
	// The runtime keeps to itself why it does not watch a socket.
	{who: "davitd", number: unix.SYS_EPOLL_CTL}: "does not support deadline",
	// Whether a mount is a folder is asked by the way: it fails where the mount is put on what it does not fit.
	{who: "monitor", number: unix.SYS_FSTAT}: "invalid argument",
}

// without starts a domain in a process of which a call fails. It tells whether the call was made.
func (h *networkHost) without(t *testing.T, s *stage, c call) bool {
	t.Helper()
	w, o := h.inject(t, s, &c)
	errno := injectable[c.number].errno
	t.Logf("%v, made: %v: %s", c, w.struck, cmp.Or(o.Error, "started"))
	other := elsewise[call{who: c.who, number: c.number}]
	if o.Error != "" && !strings.Contains(o.Error, errno.Error()) && (other == "" || !strings.Contains(o.Error, other)) {
		t.Errorf("the error of a start of which %v fails with %q: %s", c, errno, o.Error)
	}
	s.d = h.open(t)
	h.clean(t, s)
	if err := s.d.Close(); err != nil {
		t.Error(err)
	}
	return w.struck
}

// furnishedStage is a host, and a domain with a device of each kind.
func furnishedStage(t *testing.T) (*networkHost, *stage) {
	t.Helper()
	h := newNetworkHost(t, "fa120004")
	s := h.stage(t, act{prone: furnished})
	s.First = s.Next
	return h, s
}

// REL-12: every system call of a start fails once, of davitd, keeper, monitor and the child that becomes init. The start succeeds all the
// same, or its error says why it did not; nothing is left, and the next start is not hindered. The short form takes the first of some kinds.
func TestEachCallFails(t *testing.T) {
	var all [][]call
	tried, made := 0, 0
	fail := func(t *testing.T, h *networkHost, s *stage, c call) {
		t.Helper()
		tried++
		if h.without(t, s, c) {
			made++
		}
	}
	t.Run("calls", func(t *testing.T) {
		h, s := furnishedStage(t)
		w, o := h.inject(t, s, nil)
		if o.Error != "" {
			t.Fatalf("it does not start: %s", o.Error)
		}
		all = kinds(w.calls)
		t.Logf("a start makes %d calls of %d kinds", len(w.calls), len(all))
		if os.Getenv(roundsVar) != "" {
			return
		}
		for n := 0; n < len(all); n += 4 {
			fail(t, h, s, all[n][0])
		}
	})
	if os.Getenv(roundsVar) != "" {
		for _, calls := range all {
			t.Run(fmt.Sprintf("%s %s", calls[0].who, injectable[calls[0].number].name), func(t *testing.T) {
				h, s := furnishedStage(t)
				for _, c := range calls {
					fail(t, h, s, c)
				}
			})
		}
	}
	// What is made at the same time is not made in the same order each time.
	if made*10 < tried*8 {
		t.Errorf("of %d calls %d were made", tried, made)
	}
}
