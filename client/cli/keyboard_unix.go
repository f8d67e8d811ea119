//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package cli

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// keyboard reads from a terminal until it is let go. Without it a read that waits for a key while its reader has ended
// would swallow what the user types next, which is for somebody else by then.
type keyboard struct {
	terminal    *os.File
	ended, hold *os.File // a pipe: closing hold makes ended readable

	reading sync.Mutex // held by a read that is under way
	letGo   bool       // guarded by reading
}

// takeKeyboard takes the terminal that in is, until letGo. Anything else is read as it is.
func takeKeyboard(in io.Reader) (keys io.Reader, letGo func()) {
	f, ok := in.(*os.File)
	if !ok || !isTerminal(in) {
		return in, func() {}
	}
	ended, hold, err := os.Pipe()
	if err != nil {
		return in, func() {}
	}
	if int(ended.Fd()) >= unix.FD_SETSIZE {
		_, _ = ended.Close(), hold.Close()
		return in, func() {}
	}
	k := &keyboard{terminal: f, ended: ended, hold: hold}
	return k, k.release
}

// release lets the keyboard go. When it returns, nobody reads the terminal any more.
func (k *keyboard) release() {
	_ = k.hold.Close()
	k.reading.Lock()
	defer k.reading.Unlock()
	if !k.letGo {
		k.letGo = true
		_ = k.ended.Close()
	}
}

// Read waits for a key. It ends with io.EOF when the keyboard is let go.
func (k *keyboard) Read(p []byte) (int, error) {
	k.reading.Lock()
	defer k.reading.Unlock()
	for !k.letGo {
		var ready unix.FdSet
		key, end := int(k.terminal.Fd()), int(k.ended.Fd())
		ready.Set(key)
		ready.Set(end)
		switch _, err := unix.Select(max(key, end)+1, &ready, nil, nil, nil); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, os.NewSyscallError("select", err)
		case ready.IsSet(end):
			return 0, io.EOF
		default:
			return k.terminal.Read(p)
		}
	}
	return 0, io.EOF
}
