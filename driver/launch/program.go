package launch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// defaultPath is where programs are looked for when the environment does not say.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// maxInterpreters is how many scripts may be each other's interpreter; the kernel's own limit.
const maxInterpreters = 5

// findProgram finds the file that a process is to run, in the tree below root, and makes sure that neither it nor what
// interprets it leads out of that tree: a program that is /proc/self/exe, by whatever detour, would be our own.
func findProgram(root *os.File, p *monitorv1.Process, cwd string) (string, error) {
	name := p.GetArgv()[0]
	var found error
	for _, candidate := range candidates(name, p.GetEnv(), cwd) {
		err := checkProgram(root, candidate, 0)
		if err == nil {
			return candidate, nil
		}
		if !isMissing(err) && found == nil {
			found = err
		}
	}
	if found != nil {
		return "", programError(name, found)
	}
	if link := danglingLink(root, name, cwd); link {
		return "", programError(name, errLeadsNowhere)
	}
	return "", programError(name, unix.ENOENT)
}

var (
	errLeadsNowhere = errors.New("it is a symbolic link that leads to nothing in the container")
	errLeadsOut     = errors.New("it leads out of the container's filesystems")
)

func isMissing(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) }

// danglingLink tells whether a program that does not exist is a link, so that the error can say so.
func danglingLink(root *os.File, name, cwd string) bool {
	if !strings.Contains(name, "/") {
		return false
	}
	var stat unix.Stat_t
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: inRoot}
	fd, err := unix.Openat2(int(root.Fd()), candidates(name, nil, cwd)[0], &how)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Fstat(fd, &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFLNK
}

// candidates are the files that a name can mean.
func candidates(name string, env []string, cwd string) []string {
	if path.IsAbs(name) {
		return []string{name}
	}
	if strings.Contains(name, "/") {
		return []string{path.Join("/", cwd, name)}
	}
	var list []string
	for dir := range strings.SplitSeq(searchPath(env), ":") {
		if !path.IsAbs(dir) {
			dir = path.Join("/", cwd, dir)
		}
		list = append(list, path.Join(dir, name))
	}
	return list
}

func searchPath(env []string) string {
	for _, variable := range env {
		if list, ok := strings.CutPrefix(variable, "PATH="); ok {
			return list
		}
	}
	return defaultPath
}

// checkProgram tells whether a file can be run: it lies in the tree, is a regular file with a bit that says so, and its
// interpreters are such files too.
func checkProgram(root *os.File, name string, depth int) error {
	file, err := fs.OpenIn(root, name)
	if errors.Is(err, unix.ELOOP) {
		return errLeadsOut
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err = runnable(file); err != nil {
		return err
	}
	interpreter, err := interpreterOf(file)
	if err != nil || interpreter == "" {
		return err
	}
	if depth == maxInterpreters {
		return unix.ELOOP
	}
	if err := checkProgram(root, interpreter, depth+1); err != nil {
		return &interpreterError{name: interpreter, err: err}
	}
	return nil
}

func runnable(file *os.File) error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG || stat.Mode&0o111 == 0 {
		return unix.EACCES
	}
	var statfs unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &statfs); err != nil {
		return err
	}
	if statfs.Type == unix.PROC_SUPER_MAGIC {
		return errLeadsOut
	}
	return nil
}

// interpreterError is the error of an interpreter. It hides that something is missing: the program is not.
type interpreterError struct {
	name string
	err  error
}

func (e *interpreterError) Error() string {
	if number, ok := errors.AsType[syscall.Errno](e.err); ok {
		return "its interpreter " + quote(e.name) + ": " + number.Error()
	}
	return "its interpreter " + quote(e.name) + ": " + e.err.Error()
}

// interpreterOf is the program that the kernel starts in place of a script, or together with a dynamic program; empty if
// there is none.
func interpreterOf(file *os.File) (string, error) {
	fd, err := unix.Open(fs.SelfPath(file), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return "", err
	}
	content := os.NewFile(uintptr(fd), file.Name())
	defer func() { _ = content.Close() }()
	head := make([]byte, 256)
	n, err := content.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	head = head[:n]
	if line, ok := bytes.CutPrefix(head, []byte("#!")); ok {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		fields := bytes.Fields(line)
		if len(fields) == 0 {
			return "", unix.ENOEXEC
		}
		return string(fields[0]), nil
	}
	return elfInterpreter(content, head), nil
}

// elfInterpreter reads PT_INTERP of a 64-bit program. A 32-bit one cannot have us as its interpreter.
func elfInterpreter(content io.ReaderAt, head []byte) string {
	const headerSize, entrySize, typeInterpreter = 64, 56, 3
	if len(head) < headerSize || !bytes.HasPrefix(head, []byte("\x7fELF\x02\x01")) {
		return ""
	}
	offset := int64(binary.LittleEndian.Uint64(head[32:]))
	count := int(binary.LittleEndian.Uint16(head[56:]))
	if size := binary.LittleEndian.Uint16(head[54:]); size != entrySize || offset < 0 || count > 128 {
		return ""
	}
	table := make([]byte, count*entrySize)
	if _, err := content.ReadAt(table, offset); err != nil {
		return ""
	}
	for ; len(table) > 0; table = table[entrySize:] {
		if binary.LittleEndian.Uint32(table) != typeInterpreter {
			continue
		}
		name := make([]byte, min(binary.LittleEndian.Uint64(table[32:]), unix.PathMax))
		if _, err := content.ReadAt(name, int64(binary.LittleEndian.Uint64(table[8:]))); err != nil {
			return ""
		}
		name, _, _ = bytes.Cut(name, []byte{0})
		return string(name)
	}
	return ""
}

// programError is the error of a program that cannot be run.
func programError(name string, err error) *Error {
	e := &Error{Operation: opRun, Object: name, Kind: monitorv1.ErrorKind_ERROR_KIND_NOT_EXECUTABLE}
	switch {
	case isMissing(err):
		e.Kind = monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND
		errors.As(err, &e.Errno)
	case errors.As(err, &e.Errno):
	default:
		e.Message = err.Error()
	}
	if errors.Is(err, errLeadsNowhere) {
		e.Kind = monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND
	}
	return e
}

// execError is the error of execve(2).
func execError(e *Error) *Error {
	e.Kind = monitorv1.ErrorKind_ERROR_KIND_NOT_EXECUTABLE
	if isMissing(e.Errno) {
		e.Kind = monitorv1.ErrorKind_ERROR_KIND_NOT_FOUND
	}
	return e
}
