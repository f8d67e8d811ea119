package launch

import (
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// How paths of a container are resolved: as a process would whose root it is, and never by a magic link of proc, which
// leads anywhere. For the filesystems of the kernel, /dev and masks, symbolic links are refused too: an image that has
// one there means to redirect us.
const (
	inRoot      = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS
	inRootPlain = inRoot | unix.RESOLVE_NO_SYMLINKS
)

// What a target is.
const (
	wantFolder = unix.O_DIRECTORY
	wantAny    = 0
)

// how puts a struct open_how into memory.
func (a *assembler) how(flags, resolve uint64) value {
	key := [2]uint64{flags, resolve}
	if v, ok := a.hows[key]; ok {
		return v
	}
	v := a.words(howLabel(flags, resolve), flags, 0, resolve)
	a.hows[key] = v
	return v
}

// maxTries is how often a program opens paths, those that it opens for the first time included.
const maxTries = 1 << 16

// open opens a path below a folder for lookups. A rename or mount anywhere on the host while a ".." is walked disturbs it;
// then it is tried again, but not for ever.
func (a *assembler) open(dir value, name string, flags, resolve uint64) call {
	how := a.how(flags|unix.O_PATH|unix.O_CLOEXEC, resolve)
	again := a.label()
	a.mark(again)
	a.call(trapTry, num(uint64(a.tries())), num(uint64(syscall.EAGAIN)))
	return a.call(unix.SYS_OPENAT2, dir, a.text(name), how, num(24)).on(syscall.EAGAIN, again)
}

// tries is the number of the slot that holds how often paths may still be opened.
func (a *assembler) tries() uintptr {
	if a.left.n == 0 {
		a.left = a.slot()
		a.slots[a.left.n] = maxTries
	}
	return a.left.n
}

// target finds the place that something is to be mounted on, and makes it, folder by folder, if it does not exist: a
// folder, or an empty file. What is made belongs to the container, and the container must be allowed to make it.
func (a *assembler) target(root value, name string, folder bool, resolve uint64) value {
	found := a.slot()
	done := a.label()
	a.open(root, name, wantAny, resolve).to(found).then(done).ignore(syscall.ENOENT)

	parts := strings.Split(name, "/")
	if folder {
		a.walk(root, parts, resolve, found)
		a.mark(done)
		return found
	}
	last := len(parts) - 1
	parent := a.walk(root, parts[:last], resolve, a.slot())
	a.makePlace(root, parent, parts, resolve, unix.SYS_MKNODAT, unix.S_IFREG|0o644)
	a.open(root, name, wantAny, resolve).to(found)
	a.mark(done)
	return found
}

// walk goes down a row of folders and makes those that do not exist. The last one ends up in the given slot.
func (a *assembler) walk(root value, folders []string, resolve uint64, at value) value {
	parent := root
	for i, name := range folders {
		next := a.label()
		a.open(root, path.Join(folders[:i+1]...), wantFolder, resolve).to(at).then(next).ignore(syscall.ENOENT)
		a.makePlace(root, parent, folders[:i+1], resolve, unix.SYS_MKDIRAT, 0o755)
		a.open(parent, name, wantFolder|unix.O_NOFOLLOW, inRootPlain).to(at)
		a.mark(next)
		parent = at
	}
	return parent
}

// makePlace makes the last part of a path in the folder of those before. In a root that is read-only it is made by another
// mount of the same folder, unless the path has left that for what was mounted before.
func (a *assembler) makePlace(root, parent value, parts []string, resolve uint64, trap uintptr, mode uint64) {
	last := len(parts) - 1
	folder, name, made := orDot(path.Join(parts[:last]...)), a.text(parts[last]), a.label()
	first := a.call(trap, parent, name, num(mode)).on(syscall.EEXIST, made)
	if a.making != (value{}) {
		first.then(made).ignore(syscall.EROFS)
		dir, elsewhere := a.slot(), a.label()
		a.open(root, folder, wantFolder, resolve|unix.RESOLVE_NO_XDEV).on(syscall.EXDEV, elsewhere)
		a.open(a.making, folder, wantFolder, resolve).to(dir)
		a.call(trap, dir, name, num(mode)).then(made).on(syscall.EEXIST, made)
		a.mark(elsewhere)
		a.call(trap, parent, name, num(mode))
	}
	a.mark(made)
}

func num(n uint64) value { return value{n: uintptr(n)} }
