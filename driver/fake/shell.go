package fake

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Signals by which systemd is told to halt and to reboot: its SIGRTMIN+3 and SIGRTMIN+5.
const (
	sigPoweroff = syscall.Signal(34 + 3)
	sigReboot   = syscall.Signal(34 + 5)
)

// program is what the fake can play; it returns the status that the next step sees.
type program func(t *task, args []string, out func(string)) int

// builtin finds a program, nil if it cannot be played.
func builtin(name string) program {
	switch path.Base(name) {
	case "echo":
		return (*task).echo
	case "cat":
		return (*task).cat
	case "true", ":", "wait":
		return func(*task, []string, func(string)) int { return 0 }
	case "false":
		return func(*task, []string, func(string)) int { return 1 }
	case "exit":
		return (*task).exit
	case "env":
		return (*task).printEnv
	case "tty":
		return (*task).printTTY
	case "pwd":
		return (*task).printDir
	case "sleep":
		return (*task).sleepFor
	case "trap":
		return (*task).trap
	case "kill":
		return (*task).kill
	case "poweroff":
		return (*task).poweroff
	case "reboot":
		return (*task).reboot
	case "exec":
		return (*task).exec
	}
	return nil
}

// play runs one step.
func (t *task) play(c command) {
	words := make([]string, len(c.words))
	for i, w := range c.words {
		words[i] = t.expand(w)
	}
	write := t.stdout
	if c.toStderr {
		write = t.stderr
	}
	run := builtin(words[0])
	if run == nil {
		t.stderr(fmt.Appendf(nil, "sh: %s: not found\n", words[0]))
		t.status = 127
		return
	}
	t.status = run(t, words[1:], func(s string) { write([]byte(s)) })
}

// expand replaces $NAME; a word of single quotes came with its dollars doubled.
func (t *task) expand(word string) string {
	return os.Expand(word, func(name string) string {
		switch name {
		case "$":
			return "$"
		case "?":
			return strconv.Itoa(t.status)
		}
		return t.lookup(name)
	})
}

func (t *task) echo(args []string, out func(string)) int {
	end := "\n"
	if len(args) > 0 && args[0] == "-n" {
		args, end = args[1:], ""
	}
	out(strings.Join(args, " ") + end)
	return 0
}

func (t *task) cat(_ []string, out func(string)) int {
	t.blocking = true
	t.read(func(p []byte) {
		if p == nil {
			t.wake()
			return
		}
		out(string(p))
	})
	return 0
}

func (t *task) exit(args []string, _ func(string)) int {
	code := t.status
	if len(args) > 0 {
		code, _ = strconv.Atoi(args[0])
	}
	t.end(exit{code: code})
	return code
}

func (t *task) printEnv(_ []string, out func(string)) int {
	out(strings.Join(t.env, "\n") + "\n")
	return 0
}

func (t *task) printTTY(_ []string, out func(string)) int {
	if !t.tty {
		out("not a tty\n")
		return 1
	}
	out("/dev/pts/0\n")
	return 0
}

func (t *task) printDir(_ []string, out func(string)) int {
	out(max(t.dir, "/") + "\n")
	return 0
}

func (t *task) sleepFor(args []string, _ func(string)) int {
	if len(args) == 0 {
		return 1
	}
	if args[0] == "infinity" {
		t.sleep(-1)
		return 0
	}
	seconds, err := strconv.ParseFloat(args[0], 64)
	if err != nil {
		return 1
	}
	t.sleep(time.Duration(seconds * float64(time.Second)))
	return 0
}

func (t *task) trap(args []string, _ func(string)) int {
	if len(args) < 2 {
		return 1
	}
	for _, name := range args[1:] {
		s, ok := parseSignal(name)
		if !ok {
			return 1
		}
		t.traps[s] = args[0]
	}
	return 0
}

// kill signals another task of the container. Init is not killed from within.
func (t *task) kill(args []string, _ func(string)) int {
	if len(args) != 2 {
		return 1
	}
	s, ok := parseSignal(strings.TrimPrefix(args[0], "-"))
	pid, err := strconv.ParseUint(args[1], 10, 32)
	if err != nil || !ok {
		return 1
	}
	to := t.c.tasks[uint32(pid)]
	if to == nil {
		return 1
	}
	if !to.isInit || to.handles(s) {
		to.signal(s)
	}
	return 0
}

// poweroff and reboot end init as reboot(2) does.
func (t *task) poweroff(_ []string, _ func(string)) int {
	t.endSystem(syscall.SIGINT)
	return 0
}

func (t *task) reboot(_ []string, _ func(string)) int {
	t.endSystem(syscall.SIGHUP)
	return 0
}

func (t *task) endSystem(s syscall.Signal) {
	if t.c.init != nil {
		t.c.init.end(exit{signal: s})
	}
}

// exec runs the rest of its words in place of the script.
func (t *task) exec(args []string, out func(string)) int {
	t.steps = nil
	run := builtin(args[0])
	if run == nil {
		t.end(exit{code: 127})
		return 127
	}
	return run(t, args[1:], out)
}

// interactive runs each line that is typed.
func (t *task) interactive() func([]byte) {
	var line []byte
	return func(p []byte) {
		if p == nil {
			t.end(exit{code: t.status})
			return
		}
		line = append(line, p...)
		for {
			i := bytes.IndexAny(line, "\r\n")
			if i < 0 {
				return
			}
			steps := parse(string(line[:i]))
			line = line[i+1:]
			t.blocking = false
			for _, s := range steps {
				if t.dead {
					return
				}
				t.play(s)
			}
			t.blocking = true
		}
	}
}

func parseSignal(name string) (syscall.Signal, bool) {
	if n, err := strconv.Atoi(name); err == nil {
		return syscall.Signal(n), n > 0 && n <= 64
	}
	s := unix.SignalNum("SIG" + strings.TrimPrefix(name, "SIG"))
	return s, s != 0
}
