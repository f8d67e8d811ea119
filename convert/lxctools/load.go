package lxctools

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/davitd/davit/convert"
)

// Bounds of a configuration and the files that it includes.
const (
	maxDepth    = 8       // of files that include one another
	maxFiles    = 64      // files and folders that are named
	maxBytes    = 1 << 20 // in all of them
	maxSettings = 10000
)

// loader gathers the settings of a configuration and of what it includes, each in its place.
type loader struct {
	report   *convert.Report
	options  Options
	settings []setting

	files, bytes int
	full         bool
}

// text reads the settings of one file.
func (l *loader) text(name, text string, depth int) {
	l.report.File(name)
	l.bytes += len(text)
	if l.bytes > maxBytes {
		l.refuse(convert.Place{File: name}, "the configuration has more than %d bytes", maxBytes)
		return
	}
	scan(name, text, func(s setting) {
		switch {
		case l.full:
		case s.key == "lxc.include" && s.value != "":
			l.include(s, depth+1)
		case len(l.settings) >= maxSettings:
			l.refuse(s.place(), "the configuration has more than %d settings", maxSettings)
		default:
			l.settings = append(l.settings, s)
		}
	}, func(line int, value, message string) {
		l.report.Fault(convert.Place{File: name, Line: line}, value, "%s", message)
	})
}

// refuse tells of a bound, once; nothing is read from there on.
func (l *loader) refuse(p convert.Place, format string, args ...any) {
	if !l.full {
		l.report.Fault(p, "", format, args...)
	}
	l.full = true
}

// include reads a file, or the files of a folder whose names end in ".conf", in the order of their names.
func (l *loader) include(s setting, depth int) {
	if depth > maxDepth {
		l.refuse(s.place(), "files include one another more than %d deep", maxDepth)
		return
	}
	shown, name, err := l.resolve(s)
	if err != nil {
		l.report.Fault(s.place(), s.value, "%s", err)
		return
	}
	if info, err := fs.Stat(l.options.Files, name); err == nil && info.IsDir() {
		l.folder(s, shown, name, depth)
		return
	}
	l.file(s, shown, name, depth)
}

func (l *loader) folder(s setting, shown, name string, depth int) {
	entries, err := fs.ReadDir(l.options.Files, name)
	if err != nil {
		l.report.Fault(s.place(), s.value, "cannot be read: %s", cause(err))
		return
	}
	for _, e := range entries {
		if !e.IsDir() && strings.HasSuffix(e.Name(), ".conf") {
			l.file(s, path.Join(shown, e.Name()), path.Join(name, e.Name()), depth)
		}
		if l.full {
			return
		}
	}
}

func (l *loader) file(s setting, shown, name string, depth int) {
	text, err := l.read(s, name)
	switch {
	case l.full:
		return
	case err != nil:
		l.report.Fault(s.place(), shown, "%s", err)
		return
	}
	l.text(shown, text, depth)
}

// resolve is the path of a file that a setting names, as it is shown and for Files. A relative one counts from the file that names it.
func (l *loader) resolve(s setting) (shown, name string, err error) {
	if l.options.Files == nil {
		return "", "", errors.New("is not read: no other file may be")
	}
	if shown = path.Clean(s.value); !path.IsAbs(shown) {
		shown = path.Join(path.Dir(s.file), shown)
	}
	if name = shown; !path.IsAbs(name) {
		name = path.Join("/", l.options.Folder, name)
	}
	if name = strings.TrimPrefix(name, "/"); !fs.ValidPath(name) {
		return "", "", errors.New("is not a path")
	}
	return shown, name, nil
}

// read reads a file whole, within what is left of the bounds.
func (l *loader) read(s setting, name string) (string, error) {
	if l.files++; l.files > maxFiles {
		l.refuse(s.place(), "the configuration names more than %d files", maxFiles)
		return "", errors.New("is not read any more")
	}
	f, err := l.options.Files.Open(name)
	if errors.Is(err, fs.ErrPermission) && len(l.options.Folders) > 0 {
		return "", fmt.Errorf("is not read: files may come from %s", strings.Join(l.options.Folders, " and "))
	}
	if err != nil {
		return "", fmt.Errorf("cannot be read: %s", cause(err))
	}
	defer func() { _ = f.Close() }()
	if info, statErr := f.Stat(); statErr != nil || !info.Mode().IsRegular() {
		return "", errors.New("is no file")
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(maxBytes-min(l.bytes, maxBytes)+1)))
	if err != nil {
		return "", fmt.Errorf("cannot be read: %s", cause(err))
	}
	return string(text), nil
}

// cause is an error of a file without the file's name.
func cause(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}
