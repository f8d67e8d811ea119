package cli

import (
	"context"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/davitd/davit/client"
)

// terminal is the user's terminal in raw mode: every key goes to the domain.
type terminal struct {
	file  *os.File
	saved *term.State
}

// rawTerminal puts the terminal that in is into raw mode. Call restore whatever happens.
func rawTerminal(in io.Reader) (*terminal, error) {
	f, ok := in.(*os.File)
	if !ok {
		return nil, errNoTTY()
	}
	saved, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	return &terminal{f, saved}, nil
}

func (t *terminal) restore() { _ = term.Restore(int(t.file.Fd()), t.saved) }

func (t *terminal) size() client.Size { return sizeOf(t.file) }

// sizeOf is the size of the terminal that f is, zero if it is none.
func sizeOf(f *os.File) client.Size {
	columns, rows, err := term.GetSize(int(f.Fd()))
	if err != nil || rows <= 0 || columns <= 0 {
		return client.Size{}
	}
	return client.Size{Rows: uint16(rows), Columns: uint16(columns)}
}

// followSize tells resize the size of the terminal now and whenever it changes, until stop, which waits for that. What
// resize talks to has to be closed before.
func (t *terminal) followSize(ctx context.Context, resize func(client.Size) error) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.tellSize(ctx, resize)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (t *terminal) tellSize(ctx context.Context, resize func(client.Size) error) {
	changed, stop := sizeChanges()
	defer stop()
	for {
		if resize(t.size()) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// escapable reads from a terminal up to the escape character.
type escapable struct {
	from   io.Reader
	escape byte
}

func (e escapable) Read(p []byte) (int, error) {
	n, err := e.from.Read(p)
	for i, b := range p[:n] {
		if b == e.escape {
			return i, io.EOF
		}
	}
	return n, err
}

// lastKey tells when a terminal in raw mode has no more keys: that happens only when it goes away, and with it the user.
type lastKey struct {
	from io.Reader
	gone func()
}

func (l lastKey) Read(p []byte) (int, error) {
	n, err := l.from.Read(p)
	if err != nil {
		l.gone()
	}
	return n, err
}

func errNoTTY() error {
	return failed(nil, "Cannot run interactive console without a controlling TTY")
}
