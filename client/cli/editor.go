package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/peterh/liner"
)

// lineSource gives a shell its lines, one after the other. The last ends with io.EOF.
type lineSource interface {
	next(ctx context.Context, prompt string) (string, error)
}

// errAbandoned ends a line that the user gave up with Ctrl-C.
var errAbandoned = errors.New("line abandoned")

// editor is the lines of a terminal where the user edits them. The terminal is as it was while commands run.
type editor struct {
	state       *liner.State
	plain, edit liner.ModeApplier
}

// newEditor edits lines on standard input and output, which have to be a terminal.
func newEditor(kept []string, complete liner.WordCompleter) (*editor, error) {
	plain, err := liner.TerminalMode()
	if err != nil {
		return nil, err
	}
	e := &editor{state: liner.NewLiner(), plain: plain}
	if e.edit, err = liner.TerminalMode(); err != nil {
		return nil, errors.Join(err, e.state.Close())
	}
	e.state.SetCtrlCAborts(true)
	e.state.SetBeep(false)
	e.state.SetTabCompletionStyle(liner.TabPrints)
	e.state.SetWordCompleter(complete)
	for _, line := range kept {
		e.state.AppendHistory(line)
	}
	return e, plain.ApplyMode()
}

// remember offers a line again.
func (e *editor) remember(line string) { e.state.AppendHistory(line) }

// next reads a line. When ctx ends, it returns at once: the reader that waits then for a key takes it to the grave.
func (e *editor) next(ctx context.Context, prompt string) (string, error) {
	if err := e.edit.ApplyMode(); err != nil {
		return "", err
	}
	defer func() { _ = e.plain.ApplyMode() }()
	type answer struct {
		line string
		err  error
	}
	typed := make(chan answer, 1)
	go func() {
		line, err := e.state.Prompt(prompt)
		typed <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case a := <-typed:
		// A terminal that loses its width while a line is edited gives it up, too.
		if errors.Is(a.err, liner.ErrPromptAborted) || errors.Is(a.err, liner.ErrInternal) {
			return "", errAbandoned
		}
		return a.line, a.err
	}
}

// close gives the terminal back.
func (e *editor) close() { _ = errors.Join(e.state.Close(), e.plain.ApplyMode()) }

// editable tells that lines can be edited: the editor knows no other terminal than the one that the program stands on.
func (a *app) editable() bool {
	return a.in == io.Reader(os.Stdin) && a.out.to == io.Writer(os.Stdout) && isTerminal(a.in) && a.out.terminal
}

// maxLine is the longest line of a script, in bytes.
const maxLine = 1 << 20

// plainLines are lines as they come: those of a script, or of a terminal that nobody can edit on.
type plainLines struct {
	scan *bufio.Scanner
	show func(prompt string)
}

func newPlainLines(from io.Reader, show func(prompt string)) *plainLines {
	p := &plainLines{bufio.NewScanner(from), show}
	p.scan.Buffer(nil, maxLine)
	return p
}

// next reads a line, and those that a backslash at its end joins to it.
func (p *plainLines) next(ctx context.Context, prompt string) (string, error) {
	p.show(prompt)
	type answer struct {
		line string
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		line, err := p.read()
		read <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case a := <-read:
		return a.line, a.err
	}
}

func (p *plainLines) read() (string, error) {
	var line strings.Builder
	for p.scan.Scan() {
		line.WriteString(p.scan.Text())
		if !strings.HasSuffix(line.String(), `\`) {
			return line.String(), nil
		}
		line.WriteByte('\n')
	}
	if p.scan.Err() != nil || line.Len() > 0 {
		return line.String(), p.scan.Err()
	}
	return "", io.EOF
}
