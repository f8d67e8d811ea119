package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// retryList is how long after a list that the daemon did not give it is asked for again.
const retryList = time.Second

// paceList is how long after a list the next is asked for at the earliest, however much happens: to list thousands of
// domains is work, and nobody reads faster.
const paceList = 250 * time.Millisecond

// watchList shows the list of domains whenever it changes, until the user interrupts. What happens is told by the
// daemon's events; a daemon that restarts is waited for.
//
// On a terminal the list is drawn anew in its place, never larger than the terminal. Elsewhere each list is printed whole,
// followed by a blank line, or as a document of its own with -o.
func (a *app) watchList(ctx context.Context, c *client.Client, o listOptions) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	changed, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- tellChanges(ctx, c, changed) }()
	v := a.newListView()
	defer v.close()
	var (
		again <-chan time.Time
		last  time.Time
	)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			if ctx.Err() != nil {
				return nil
			}
			return failed(err, "Failed to watch domains")
		case <-v.resized:
			v.draw()
			continue
		case <-changed:
			if rest := paceList - time.Since(last); rest > 0 {
				if again == nil {
					again = time.After(rest)
				}
				continue
			}
		case <-again:
		}
		again = nil
		domains, err := chosen(ctx, c, o)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, domain.ErrUnavailable):
			again = time.After(retryList)
			continue
		case err != nil:
			return failed(err, "Failed to list domains")
		}
		if err := v.show(domains, o); err != nil {
			return err
		}
		last = time.Now()
	}
}

// tellChanges says when the list may have changed, first of all at the beginning, until ctx ends. A change that happens
// while nobody listens is told once.
func tellChanges(ctx context.Context, c *client.Client, changed chan<- struct{}) error {
	for _, err := range c.Watch(ctx, client.WatchOptions{}) {
		if err != nil {
			return err
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	return nil
}

// listView is where a list that is watched is shown.
type listView struct {
	app      *app
	terminal *os.File         // nil where lists are printed one after the other
	resized  <-chan os.Signal // the terminal changed its size
	stop     func()
	lines    [][]span // what the terminal shows
	last     []byte   // what was printed last
}

// Sequences of a terminal (xterm's ctlseqs): a screen of its own without a cursor, and back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	topLeft     = "\x1b[H"
	clearRight  = "\x1b[K"
	clearBelow  = "\x1b[J"
)

func (a *app) newListView() *listView {
	v := &listView{app: a, stop: func() {}}
	f, ok := a.out.to.(*os.File)
	if !ok || !a.out.terminal || a.notation != text || a.env("TERM") == "dumb" {
		return v
	}
	v.terminal = f
	v.resized, v.stop = sizeChanges()
	v.write(enterScreen)
	return v
}

func (v *listView) close() {
	v.stop()
	if v.terminal != nil {
		v.write(leaveScreen)
	}
}

// show shows a list if it is another than the last.
func (v *listView) show(domains []*davitv1.DomainInfo, o listOptions) error {
	if v.terminal != nil {
		v.lines = listLines(v.app.out, domains, o)
		v.draw()
		return v.app.out.failure()
	}
	var list bytes.Buffer
	page := *v.app
	page.out = &screen{to: &list}
	if err := page.showList(domains, o); err != nil {
		return err
	}
	if bytes.Equal(list.Bytes(), v.last) && v.last != nil {
		return nil
	}
	v.last = append([]byte{}, list.Bytes()...)
	switch v.app.notation {
	case text:
		list.WriteByte('\n')
	case yamlText:
		v.app.out.printf("---\n")
	case jsonText:
	}
	_, err := v.app.out.Write(list.Bytes())
	return err
}

// draw fills the terminal with as much of the list as it has room for.
func (v *listView) draw() {
	s := v.app.out
	size := sizeOf(v.terminal)
	rows, columns := int(size.Rows), int(size.Columns)
	if rows == 0 || columns == 0 {
		return
	}
	lines := v.lines
	if hidden := len(lines) - rows; hidden > 0 {
		more := fmt.Sprintf("%s %d more", s.ellipsis(), hidden+1)
		lines = append(append([][]span{}, lines[:rows-1]...), []span{{more, dim}})
	}
	var b strings.Builder
	b.WriteString(topLeft)
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		line = fit(line, columns, s.ellipsis())
		b.WriteString(v.app.styled(s, line))
		if spanCells(line) < columns { // a full line leaves the cursor on its last cell
			b.WriteString(clearRight)
		}
	}
	if len(lines) < rows {
		b.WriteString("\r\n" + clearBelow)
	}
	v.write(b.String())
}

func (v *listView) write(text string) { _, _ = v.app.out.raw().Write([]byte(text)) }
