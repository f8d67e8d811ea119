package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// edited lets the user edit a text and gives it as it is then. The file has a name that ends in suffix, for editors that
// go by it, and is gone afterwards.
func (a *app) edited(ctx context.Context, content, suffix string) (string, error) {
	f, err := os.CreateTemp("", "davit-*"+suffix)
	if err != nil {
		return "", failed(nil, "Failed to make temporary file: %s", plain(err))
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(content)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = a.runEditor(ctx, f.Name())
	}
	if err != nil {
		return "", err
	}
	doc, err := os.ReadFile(f.Name())
	if err != nil {
		return "", failed(nil, "Failed to read temporary file: %s", plain(err))
	}
	if len(doc) > maxDefinition {
		return "", failed(nil, "The edited text has %d bytes, %d are the limit", len(doc), maxDefinition)
	}
	return string(doc), nil
}

// runEditor runs $VISUAL, else $EDITOR, else vi, on a file. As with virsh the variable may hold arguments.
func (a *app) runEditor(ctx context.Context, path string) error {
	editor := "vi"
	if runtime.GOOS == "windows" {
		editor = "notepad"
	}
	for _, name := range []string{"EDITOR", "VISUAL"} {
		if value := a.env(name); value != "" {
			editor = value
		}
	}
	words := []string{"/bin/sh", "-c", editor + ` "$1"`, "sh", path}
	if runtime.GOOS == "windows" {
		words = append(strings.Fields(editor), path)
	}
	// An interrupt is the editor's: it belongs to the same terminal.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), words[0], words[1:]...)
	// As they are, so that it sees the terminal.
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.in, a.out.to, a.err.to
	if err := cmd.Run(); err != nil {
		return failed(nil, "Failed to edit: editor '%s' ended with %s", editor, err)
	}
	return nil
}

// reply is what the user wants after an edit that was refused.
type reply byte

const (
	editAgain reply = 'y'
	giveUp    reply = 'n'
	relax     reply = 'i'
	force     reply = 'f'
)

// askAgain asks what to do about a text that was refused. Without a terminal there is nobody to ask, and it is given up.
func (a *app) askAgain(why string, relaxable bool) reply {
	f, ok := a.in.(*os.File)
	if !ok || !isTerminal(f) {
		return giveUp
	}
	offered := "ynf?"
	if relaxable {
		offered = "ynif?"
	}
	for {
		a.print("%s Try again? [%s]: ", why, strings.Join(strings.Split(offered, ""), ","))
		key, err := readKey(f)
		if err != nil {
			a.print("\n")
			return giveUp
		}
		a.print("%s\n", cell(string(rune(key))))
		switch {
		case key == '?':
			a.print("%s", againHelp(relaxable))
		case bytes.IndexByte([]byte(offered), key) >= 0:
			return reply(key)
		case key == 3, key == 4: // ^C, ^D
			return giveUp
		}
	}
}

// readKey reads one key.
func readKey(f *os.File) (byte, error) {
	t, err := rawTerminal(f)
	if err != nil {
		return 0, err
	}
	defer t.restore()
	key := make([]byte, 1)
	if n, err := f.Read(key); n == 0 {
		return 0, fmt.Errorf("read key: %w", err)
	}
	if key[0] >= 'A' && key[0] <= 'Z' {
		key[0] += 'a' - 'A'
	}
	return key[0], nil
}

func againHelp(relaxable bool) string {
	text := "y - yes, start editor again\nn - no, throw away my changes\n"
	if relaxable {
		text += "i - turn off validation and try to redefine again\n"
	}
	return text + "f - force, try to redefine again\n? - print this help\n"
}
