package launch

import (
	"errors"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lines are the pipes between a parent and its child: the gate, by which the parent lets it go on, and the reports. All
// four ends vanish from the child at its exec.
type lines struct {
	gateOut, gateIn     *os.File
	reportOut, reportIn *os.File
}

func newLines() (*lines, error) {
	var l lines
	var err error
	if l.gateOut, l.gateIn, err = pipe(); err != nil {
		return nil, err
	}
	if l.reportOut, l.reportIn, err = pipe(); err != nil {
		l.close()
		return nil, err
	}
	return &l, nil
}

// newReports are the lines to a child that waits for nothing.
func newReports() (*lines, error) {
	var l lines
	var err error
	l.reportOut, l.reportIn, err = pipe()
	return &l, err
}

// pipe makes a pipe that the runtime does not watch: the thread that waits on it has nothing else to do.
func pipe() (out, in *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// open lets a child that waits go on.
func (l *lines) open() error { return l.answer([]byte{1}) }

// answer sends what the child waits for. A child that is gone does not read it; why it is gone stands in its report.
func (l *lines) answer(data []byte) error {
	_, err := l.gateIn.Write(data)
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// closeChildEnds closes the ends that only the child uses.
func (l *lines) closeChildEnds() {
	for _, f := range []*os.File{l.gateOut, l.reportIn} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// await waits for a report of a kind, or for the exec if that is 0. Every other report is an error.
func (l *lines) await(a *assembler, kind int32) (report, error) {
	var r report
	buffer := unsafe.Slice((*byte)(unsafe.Pointer(&r)), unsafe.Sizeof(r))
	n, err := readFull(l.reportOut, buffer)
	switch {
	case err != nil:
		return r, failed(step{operation: opReadReport}, err)
	case n == 0 && kind == 0:
		return r, nil
	case n == 0 && kind == reportForked:
		return r, errAtEnd
	case n == len(buffer) && r.kind == kind && kind != 0:
		return r, nil
	case n == len(buffer) && r.kind == reportFailed:
		return r, a.failure(r.index, syscall.Errno(r.value))
	}
	return r, &Error{Operation: opRun, Message: killedBefore}
}

const opReadReport = "read report"

// errAtEnd tells that no process is left that could report: each has ended, or runs its program.
var errAtEnd = errors.New("no process reports")

const killedBefore = "the process was killed before its program ran"

func readFull(f *os.File, buffer []byte) (int, error) {
	for n := 0; ; {
		got, err := unix.Read(int(f.Fd()), buffer[n:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		default:
			n += got
			if got == 0 || n == len(buffer) {
				return n, nil
			}
		}
	}
}

func (l *lines) close() {
	for _, f := range []*os.File{l.gateOut, l.gateIn, l.reportOut, l.reportIn} {
		if f != nil {
			_ = f.Close()
		}
	}
}
