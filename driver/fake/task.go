package fake

import (
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// task is a process of a container: a program that is played step by step. It holds no goroutine: between its steps it
// waits for a timer, input or a signal.
type task struct {
	c        *container
	pid      uint32 // on the host
	guest    uint32 // in the container
	argv     []string
	env      []string
	dir      string
	isInit   bool
	tty      bool
	stdout   func([]byte)
	stderr   func([]byte)
	ended    func(exit)
	full     func() bool // who reads the output is behind
	stuck    bool        // until it is not
	dead     bool
	ready    bool // was woken while the container was frozen
	pending  []syscall.Signal
	steps    []command
	status   int
	traps    map[syscall.Signal]string
	timer    *time.Timer
	reader   func([]byte) // takes input, while the program reads
	unread   []byte
	eof      bool
	service  bool // a whole system, as init
	blocking bool
}

func (c *container) newTask(argv, env []string) *task {
	c.d.nextPID++
	t := &task{
		c: c, pid: c.d.nextPID, guest: c.nextTask, argv: argv, env: env,
		traps: make(map[syscall.Signal]string), stdout: func([]byte) {}, stderr: func([]byte) {}, ended: func(exit) {},
		full: func() bool { return false },
	}
	c.nextTask++
	c.tasks[t.guest] = t
	return t
}

// start begins with the first step, or with the thaw of a container that is frozen.
func (t *task) start() {
	name := path.Base(t.argv[0])
	switch {
	case isShell(name) && len(t.argv) >= 3 && t.argv[1] == "-c":
		t.steps = parse(t.argv[2])
	case isShell(name) && len(t.argv) == 1:
		t.service = t.isInit
		t.blocking = true
		t.read(t.interactive())
		return
	case builtin(name) != nil:
		t.steps = []command{{words: append([]string{name}, t.argv[1:]...)}}
	default:
		t.service = true
		t.blocking = true
		t.read(func([]byte) {})
		return
	}
	t.run()
}

func isShell(name string) bool { return slices.Contains([]string{"sh", "bash", "ash", "dash"}, name) }

// run plays steps until one waits or none is left.
func (t *task) run() {
	if t.c.paused {
		t.ready = true
		return
	}
	for !t.dead && !t.blocking {
		if len(t.steps) == 0 {
			t.end(exit{code: t.status})
			return
		}
		if t.stuck = t.full(); t.stuck {
			return
		}
		step := t.steps[0]
		t.steps = t.steps[1:]
		if step.onSuccess && t.status != 0 {
			continue
		}
		t.play(step)
	}
}

// wake goes on after a wait.
func (t *task) wake() {
	if t.dead {
		return
	}
	t.blocking = false
	t.reader = nil
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	t.run()
}

// thaw catches up with what came while the container was frozen.
func (t *task) thaw() {
	signals := t.pending
	t.pending = nil
	if t.ready {
		t.ready = false
		t.run()
	}
	t.feed()
	for _, s := range signals {
		t.signal(s)
	}
}

// sleep waits for a time; forever when negative.
func (t *task) sleep(d time.Duration) {
	t.blocking = true
	if d < 0 {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		t.c.d.mu.Lock()
		defer t.c.d.mu.Unlock()
		if t.timer == timer {
			t.wake()
		}
	})
	t.timer = timer
}

// read gives input to f until wake.
func (t *task) read(f func([]byte)) {
	t.reader = f
	t.feed()
}

// input is what was written to the terminal or standard input.
func (t *task) input(p []byte) {
	t.unread = append(t.unread, p...)
	t.feed()
}

func (t *task) closeInput() {
	t.eof = true
	t.feed()
}

// feed hands over what was not read. An empty slice is the end of the input.
func (t *task) feed() {
	if t.dead || t.reader == nil || t.c.paused {
		return
	}
	for len(t.unread) > 0 && t.reader != nil && !t.dead && !t.full() {
		n := min(len(t.unread), chunkBytes)
		p := t.unread[:n]
		t.unread = t.unread[n:]
		t.reader(p)
		t.c.d.changed.Broadcast()
	}
	if t.eof && len(t.unread) == 0 && t.reader != nil && !t.dead {
		t.reader(nil)
	}
}

// relieve goes on after a wait for who reads the output.
func (t *task) relieve() {
	if t.stuck && !t.full() {
		t.stuck = false
		t.run()
	}
	t.feed()
}

// ignored are the signals whose default is to do nothing.
var ignored = []syscall.Signal{syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH}

// handles tells whether a signal does anything.
func (t *task) handles(s syscall.Signal) bool {
	_, trapped := t.traps[s]
	return trapped || t.service && (s == syscall.SIGTERM || s == sigPoweroff || s == sigReboot || s == syscall.SIGINT)
}

// signal delivers a signal from the host.
func (t *task) signal(s syscall.Signal) {
	script, trapped := t.traps[s]
	switch {
	case t.dead || s == 0:
	case s == syscall.SIGKILL:
		t.end(exit{signal: s})
	case t.c.paused:
		t.pending = append(t.pending, s)
	case trapped:
		t.steps = append(parse(script), t.steps...)
		t.wake()
	case t.service && t.handles(s):
		t.shutdown(s)
	case t.isInit || slices.Contains(ignored, s):
	default:
		t.end(exit{signal: s})
	}
}

// shutdown is what a whole system does when it is told to end.
func (t *task) shutdown(s syscall.Signal) {
	if s == sigReboot || s == syscall.SIGINT {
		t.end(exit{signal: syscall.SIGHUP})
		return
	}
	t.end(exit{})
}

// end is the end, once.
func (t *task) end(x exit) {
	if t.dead {
		return
	}
	t.dead = true
	if t.timer != nil {
		t.timer.Stop()
	}
	delete(t.c.tasks, t.guest)
	t.ended(x)
	t.c.d.changed.Broadcast()
}

// comm is the name of a program as the kernel keeps it.
func comm(program string) string {
	name := path.Base(program)
	return name[:min(len(name), 15)]
}

func (t *task) lookup(name string) string {
	for _, e := range slices.Backward(t.env) {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}
