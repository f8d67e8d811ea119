package launch

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// spawner is a way to make a child.
type spawner func(*assembler, *lines, *cloneArgs) (*child, error)

func spawners() map[string]spawner { return map[string]spawner{"copy": spawn, "shared": spawnShared} }

// outcome runs a program that ends by itself and gives the report that it wrote.
func outcome(t *testing.T, spawn spawner, write func(a *assembler, lines *lines)) (report, Exit) {
	t.Helper()
	lines, err := newLines()
	if err != nil {
		t.Fatal(err)
	}
	defer lines.close()
	a := newAssembler()
	a.begin(step{operation: "test"})
	write(a, lines)
	if err = a.check(); err != nil {
		t.Fatal(err)
	}
	child, err := spawn(a, lines, &cloneArgs{exitSignal: uint64(unix.SIGCHLD)})
	if err != nil {
		t.Fatal(err)
	}
	defer child.release(a)
	defer func() { _ = child.pidfd.Close() }()
	r, _ := lines.await(a, 0)
	exit, err := child.wait()
	if err != nil {
		t.Fatal(err)
	}
	return r, exit
}

func TestProgramFollowsItsBranches(t *testing.T) {
	for _, test := range []struct {
		name  string
		write func(a *assembler)
		index int32
		errno syscall.Errno
		exit  int
	}{
		{"exits", func(a *assembler) { a.call(unix.SYS_EXIT_GROUP, num(42)) }, 0, 0, 42},
		{"falls off its end", func(*assembler) {}, 1, syscall.ENOEXEC, 127},
		{"fails", func(a *assembler) { a.call(unix.SYS_CLOSE, num(1<<20)) }, 1, syscall.EBADF, 127},
		{"stops trying", func(a *assembler) {
			left, again := a.slot(), a.label()
			a.slots[left.n] = 1000
			a.mark(again)
			a.call(trapTry, num(uint64(left.n)), num(uint64(syscall.EAGAIN)))
			a.call(trapJumpIf, num(1)).then(again)
		}, 1, syscall.EAGAIN, 127},
		{"ignores an error", func(a *assembler) {
			a.call(unix.SYS_CLOSE, num(1<<20)).ignore(syscall.EBADF)
			a.call(unix.SYS_EXIT_GROUP, num(1))
		}, 0, 0, 1},
		{"does not ignore another", func(a *assembler) {
			a.call(unix.SYS_CLOSE, num(1<<20)).ignore(syscall.ENOENT).ignore(syscall.EINVAL)
		}, 1, syscall.EBADF, 127},
		{"goes where an error leads", func(a *assembler) {
			there := a.label()
			a.call(unix.SYS_CLOSE, num(1<<20)).on(syscall.ENOENT, 0).on(syscall.EBADF, there)
			a.call(unix.SYS_EXIT_GROUP, num(1))
			a.mark(there)
			a.call(unix.SYS_EXIT_GROUP, num(2))
		}, 0, 0, 2},
		{"goes where success leads", func(a *assembler) {
			there := a.label()
			a.call(unix.SYS_GETPID).then(there)
			a.call(unix.SYS_EXIT_GROUP, num(1))
			a.mark(there)
			a.call(unix.SYS_EXIT_GROUP, num(3))
		}, 0, 0, 3},
		{"wants an exact result", func(a *assembler) { a.call(unix.SYS_GETPID).exactly(0) }, 1, syscall.EPIPE, 127},
		{"uses a result", func(a *assembler) {
			s := a.slot()
			a.call(unix.SYS_DUP, num(0)).to(s)
			a.call(unix.SYS_CLOSE, s)
			a.call(unix.SYS_CLOSE, s)
		}, 3, syscall.EBADF, 127},
		{"jumps if it must", func(a *assembler) {
			s := a.slot()
			a.call(trapJumpIf, s).then(a.ahead())
			a.call(unix.SYS_GETPID).to(s)
			a.call(trapJumpIf, s).then(a.ahead())
			a.call(unix.SYS_EXIT_GROUP, num(1))
			a.call(unix.SYS_EXIT_GROUP, num(4))
		}, 0, 0, 4},
		{"looks at a byte", func(a *assembler) {
			s := a.reserve(2)
			a.slots[s.n] = '/'
			a.call(trapFirstByte, num(uint64(s.n)), num('/'), num(uint64(syscall.EDOM)))
			a.call(trapFirstByte, num(uint64(s.n)), num('('), num(uint64(syscall.EDOM)))
		}, 2, syscall.EDOM, 127},
		{"fails on purpose", func(a *assembler) { a.call(trapFail, num(uint64(syscall.ERANGE))) }, 1, syscall.ERANGE, 127},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, spawn := range spawners() {
				got, exit := outcome(t, spawn, func(a *assembler, _ *lines) {
					a.call(unix.SYS_GETPID)
					test.write(a)
				})
				want := report{}
				if test.errno != 0 {
					want = report{kind: reportFailed, index: test.index, value: int64(test.errno)}
				}
				if got != want || exit != (Exit{Code: test.exit}) {
					t.Errorf("%s: %+v, %v; want %+v, exit code %d", name, got, exit, want, test.exit)
				}
			}
		})
	}
}

func TestProgramIsBounded(t *testing.T) {
	a := newAssembler()
	a.begin(step{operation: "test"})
	for range slotCount {
		a.call(unix.SYS_GETPID).to(a.slot())
	}
	if err := a.check(); err == nil {
		t.Error("a program with too many slots was taken")
	}
}

func TestMemoryStaysWhereItIs(t *testing.T) {
	a := newAssembler()
	type place struct {
		chunk, offset int
		text          string
	}
	var places []place
	for i := range 2000 {
		text := strings.Repeat("x", i%97) + "!"
		at := a.text(text).n
		last := len(a.chunks) - 1
		places = append(places, place{last, int(at - address(a.chunks[last])), text})
	}
	for _, p := range places {
		if got := string(a.chunks[p.chunk][p.offset:][:len(p.text)+1]); got != p.text+"\x00" {
			t.Fatalf("%q, want %q", got, p.text)
		}
	}
}

func TestIDsOutside(t *testing.T) {
	m := idMap{{Inside: 0, Outside: 1000, Count: 10}, {Inside: 10, Outside: 5, Count: 1}, {Inside: 4294967290, Outside: 1, Count: 5}}
	for inside, want := range map[uint32]int{0: 1000, 9: 1009, 10: 5, 4294967294: 5} {
		if got, ok := m.outside(inside); got != want || !ok {
			t.Errorf("%d is %d, want %d", inside, got, want)
		}
	}
	for _, inside := range []uint32{11, 4294967289, 4294967295} {
		if got, ok := m.outside(inside); ok {
			t.Errorf("%d is %d", inside, got)
		}
	}
	if got, ok := idMap(nil).outside(7); got != 7 || !ok {
		t.Errorf("without a map 7 is %d", got)
	}
	if got := m[:2].String(); got != "0 1000 10\n10 5 1\n" {
		t.Errorf("%q", got)
	}
}

func TestTerminalsBelongToGroup5IfThereIsOne(t *testing.T) {
	one := []*monitorv1.IdMapping{{Inside: 0, Outside: 900, Count: 1}}
	plan := &monitorv1.Plan{Namespaces: &monitorv1.Namespaces{User: true}, UidMap: one, GidMap: one}
	if got, err := ownerOf(plan); err != nil || got != (owner{900, 900, 900}) {
		t.Errorf("%+v, %v", got, err)
	}
	plan.GidMap = []*monitorv1.IdMapping{{Inside: 0, Outside: 900, Count: 6}}
	if got, err := ownerOf(plan); err != nil || got != (owner{900, 900, 905}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ownerOf(&monitorv1.Plan{}); err != nil || got != (owner{0, 0, 5}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCandidates(t *testing.T) {
	for _, test := range []struct{ name, path, cwd, want string }{
		{"/bin/sh", "/x", "/", "/bin/sh"},
		{"./run", "/x", "/srv", "/srv/run"},
		{"bin/../../run", "", "/a/b/c", "/a/b/run"},
		{"sh", "/a:/b", "/", "/a/sh /b/sh"},
		{"sh", "/a::rel", "/w", "/a/sh /w/sh /w/rel/sh"},
	} {
		got := strings.Join(candidates(test.name, []string{"PATH=" + test.path}, test.cwd), " ")
		if got != test.want {
			t.Errorf("%s in %q: %s, want %s", test.name, test.path, got, test.want)
		}
	}
	if got := candidates("sh", nil, "/"); len(got) != 6 || got[5] != "/bin/sh" {
		t.Errorf("without PATH: %q", got)
	}
}

func TestPathBelow(t *testing.T) {
	for _, test := range []struct{ table, want string }{
		{"12:pids:/a/davit-x\n0::/machine/davit-x/init.scope\n", "init.scope"},
		{"0::/machine/davit-x\n", "."},
		{"0::/davit-x/a/b\n", "a/b"},
		{"0::/machine/davit-xy\n", ""},
		{"1:name=systemd:/davit-x\n", ""},
	} {
		if got, err := pathBelow(test.table, "davit-x"); got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%q: %q, %v", test.table, got, err)
		}
	}
}

func FuzzElfInterpreter(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Add([]byte(strings.Repeat("\x7fELF\x02\x01\x01", 20)))
	f.Fuzz(func(t *testing.T, data []byte) {
		head := data[:min(len(data), 256)]
		if name := elfInterpreter(strings.NewReader(string(data)), head); len(name) > unix.PathMax || strings.ContainsRune(name, 0) {
			t.Errorf("%q", name)
		}
	})
}

// BenchmarkSpawn measures what a child costs that does nothing, from the clone to the reaping: one with a copy of our memory, and
// one that shares it.
func BenchmarkSpawn(b *testing.B) {
	for name, spawn := range spawners() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				lines, err := newLines()
				if err != nil {
					b.Fatal(err)
				}
				a := newAssembler()
				a.begin(step{operation: "test"})
				a.call(unix.SYS_EXIT_GROUP, num(0))
				child, err := spawn(a, lines, &cloneArgs{exitSignal: uint64(unix.SIGCHLD)})
				if err != nil {
					b.Fatal(err)
				}
				if _, err = child.wait(); err != nil {
					b.Fatal(err)
				}
				_ = child.pidfd.Close()
				child.release(a)
				lines.close()
			}
		})
	}
}

// BenchmarkAssemble measures the writing of a program.
func BenchmarkAssemble(b *testing.B) {
	plan := &monitorv1.Plan{
		Namespaces: &monitorv1.Namespaces{}, Init: &monitorv1.Process{Argv: []string{"/sbin/init"}, Env: []string{"PATH=/bin"}},
		Operations: []*monitorv1.Operation{{Step: &monitorv1.Operation_RootBind{RootBind: &monitorv1.RootBind{Source: "/"}}}},
	}
	for range 20 {
		plan.Operations = append(plan.Operations, &monitorv1.Operation{Step: &monitorv1.Operation_Mask{Mask: &monitorv1.Mask{Path: "/proc/keys"}}})
	}
	b.ReportAllocs()
	for b.Loop() {
		a := newAssembler()
		l := &launcher{plan: plan, tree: &tree{plan: plan, mounts: make([]*os.File, len(plan.GetOperations()))}}
		l.assemble(a, &lines{})
		if err := a.check(); err != nil {
			b.Fatal(err)
		}
	}
}
