package console

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// ErrTaken tells that somebody else took the console.
var ErrTaken = errors.New("console was taken by another caller")

// Attachment is one caller's connection to a console. One goroutine reads it; the others of its methods may be called
// from any.
type Attachment struct {
	console  *Console
	follow   bool
	readOnly bool
	offset   uint64 // of the next byte, the reader's own

	// These are the console's, under its lock.
	last  bool   // it ends at limit
	limit uint64 // offset behind the last byte
	taken bool
	shut  bool

	gone chan struct{} // closed when it was let go
}

// Offset is that of the next byte.
func (a *Attachment) Offset() uint64 { return a.offset }

// Read waits for output and copies it, with the offset of its first byte. If that is not where the last output ended, the
// caller was too slow and lost what lies between. It returns io.EOF when the run of init is over, or the domain's if the
// attachment follows it, and everything was read; [ErrTaken] when somebody else took the console.
func (a *Attachment) Read(p []byte) (n int, offset uint64, err error) {
	for {
		// Whether there is an end is asked before the output is read, for what was written until then is not lost.
		last, limit := a.end()
		n, at, changed := a.console.ring.Read(a.offset, p)
		if last {
			n = min(n, int(max(limit, at)-at))
			if n == 0 {
				return 0, a.offset, io.EOF
			}
		}
		select {
		case <-a.gone:
			return 0, a.offset, a.why()
		default:
		}
		if n > 0 {
			a.offset = at + uint64(n)
			return n, at, nil
		}
		select {
		case <-changed:
		case <-a.gone:
		}
	}
}

// end tells whether the attachment ends, and where.
func (a *Attachment) end() (last bool, limit uint64) {
	a.console.mu.Lock()
	defer a.console.mu.Unlock()
	switch _, next := a.console.ring.Bounds(); {
	case a.last:
		return true, a.limit
	case a.console.ended:
		return true, next
	}
	return false, 0
}

// why tells why the attachment was let go.
func (a *Attachment) why() error {
	a.console.mu.Lock()
	defer a.console.mu.Unlock()
	if a.taken {
		return ErrTaken
	}
	return os.ErrClosed
}

// Write writes to the terminal; it waits while the guest does not read. While there is no init, what is written is lost,
// as on a line that nobody listens to.
func (a *Attachment) Write(p []byte) error {
	if a.readOnly {
		return &wire.Error{
			Operation: "write to console", Object: a.console.alias, Message: "it was opened for reading only",
			Kind: monitorv1.ErrorKind_ERROR_KIND_INVALID,
		}
	}
	a.console.mu.Lock()
	l := a.console.line
	a.console.mu.Unlock()
	if l == nil {
		return nil
	}
	err := l.write(p, a.gone)
	select {
	case <-a.gone:
		return a.why()
	default:
	}
	if errors.Is(err, os.ErrClosed) || errors.Is(err, unix.EIO) {
		return nil // the run of init is over
	}
	if err != nil {
		return fmt.Errorf("write to console %q: %w", a.console.alias, err)
	}
	return nil
}

// Resize sets the size of the terminal, also of those of later runs.
func (a *Attachment) Resize(rows, columns uint16) error {
	if a.readOnly {
		return &wire.Error{
			Operation: "resize console", Object: a.console.alias, Message: "it was opened for reading only",
			Kind: monitorv1.ErrorKind_ERROR_KIND_INVALID,
		}
	}
	a.console.mu.Lock()
	defer a.console.mu.Unlock()
	a.console.size = &unix.Winsize{Row: rows, Col: columns}
	if a.console.line == nil {
		return nil
	}
	if err := a.console.line.resize(a.console.size); err != nil {
		return fmt.Errorf("resize console %q: %w", a.console.alias, err)
	}
	return nil
}

// Close lets go of the console.
func (a *Attachment) Close() {
	a.console.mu.Lock()
	defer a.console.mu.Unlock()
	a.let(false)
}

// let lets go of the console, which is locked.
func (a *Attachment) let(taken bool) {
	if a.shut {
		return
	}
	a.shut, a.taken = true, taken
	close(a.gone)
	delete(a.console.attachments, a)
	if a.console.writer == a {
		a.console.writer = nil
		if a.console.line != nil {
			a.console.line.interrupt()
		}
	}
}
