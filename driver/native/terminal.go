package native

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/driver/monitor/client"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// terminal is a console or serial port of a definition, as the monitor makes it.
type terminal struct {
	// alias names it, node is its name below /dev.
	alias, node string
	// file of the host that it is written to, which goes on where it ended if it appends; empty if there is none.
	file    string
	appends bool
	// field and xmlPath are the place of the file in the definition.
	field, xmlPath string
}

// terminals are the consoles of a definition, then its serial ports.
func terminals(def *davitv1.Domain) []terminal {
	var list []terminal
	for i, c := range def.GetDevices().GetConsole() {
		list = append(list, terminal{
			alias: fmt.Sprintf("console%d", i), node: fmt.Sprintf("tty%d", i+1), file: c.GetLogFile(), appends: c.GetLogAppend(),
			field: fmt.Sprintf("devices.console[%d].log_file", i), xmlPath: fmt.Sprintf("/domain/devices/console[%d]/log/@file", i+1),
		})
	}
	for i, s := range def.GetDevices().GetSerial() {
		list = append(list, terminal{
			alias: fmt.Sprintf("serial%d", i), node: fmt.Sprintf("ttyS%d", s.GetTargetPort()), file: s.GetLogFile(), appends: s.GetLogAppend(),
			field: fmt.Sprintf("devices.serial[%d].log_file", i), xmlPath: fmt.Sprintf("/domain/devices/serial[%d]/log/@file", i+1),
		})
	}
	return list
}

// terminalFiles are the files that consoles are written to, opened.
type terminalFiles struct {
	// folders by the order of the consoles, as the monitor takes them.
	folders []client.ConsoleFile
	// anew are the files that begin anew, kept what they held, nil for what could not be kept; others go on.
	anew, kept, others []*os.File
}

// openTerminals opens the files that consoles are written to; what they hold stays until [terminalFiles.begin]. On an error nothing is
// open.
func openTerminals(def *davitv1.Domain) (*terminalFiles, error) {
	f := &terminalFiles{}
	taken := make(map[string]string)
	for _, t := range terminals(def) {
		if t.file == "" {
			f.folders = append(f.folders, client.ConsoleFile{})
			continue
		}
		if other, ok := taken[path.Clean(t.file)]; ok {
			f.close()
			return nil, hostLacks("start domain", def.GetName(), violation(t.field, t.xmlPath, "log file %q is written to by %s; name another", t.file, other))
		}
		taken[path.Clean(t.file)] = t.alias
		folder, file, err := openTerminalFile(t.file)
		if err != nil {
			f.close()
			return nil, hostLacks("start domain", def.GetName(), violation(t.field, t.xmlPath, "log file %q: %s", t.file, terminalFault(err)))
		}
		f.folders = append(f.folders, client.ConsoleFile{Folder: folder, Name: path.Base(path.Clean(t.file))})
		if t.appends {
			f.others = append(f.others, file) // it is locked
		} else {
			f.anew = append(f.anew, file)
		}
	}
	return f, nil
}

// checkTerminals refuses files that the consoles of a domain which runs are written to.
func (d *Driver) checkTerminals(def *davitv1.Domain) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := make(map[string]string)
	for _, i := range d.lives {
		i.mu.Lock()
		ended := i.ended
		i.mu.Unlock()
		for _, t := range terminals(i.spec.Definition) {
			if !ended && t.file != "" {
				taken[path.Clean(t.file)] = i.spec.Definition.GetName()
			}
		}
	}
	for _, t := range terminals(def) {
		if other, ok := taken[path.Clean(t.file)]; ok && t.file != "" {
			return hostLacks("start domain", def.GetName(), violation(t.field, t.xmlPath, "log file %q is written to by domain %q; name another", t.file, other))
		}
	}
	return nil
}

// openTerminalFile opens the folder of a file and the file, which is made if it is not there. No link is followed on the way, as a folder
// of the path may be a guest's.
func openTerminalFile(name string) (folder, file *os.File, err error) {
	clean := path.Clean(name)
	dir, err := unix.Openat2(unix.AT_FDCWD, path.Dir(clean), &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, nil, &folderError{err}
	}
	folder = os.NewFile(uintptr(dir), path.Dir(clean))
	const flags = unix.O_RDWR | unix.O_APPEND | unix.O_CREAT | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := unix.Openat(dir, path.Base(clean), flags, 0o600)
	if err != nil {
		return nil, nil, errors.Join(err, folder.Close())
	}
	file = os.NewFile(uintptr(fd), clean)
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err == nil {
		// Until this start is over no other has it; from then on the others see the domain.
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close(), folder.Close())
	}
	return folder, file, nil
}

var errNotRegular = errors.New("not a regular file")

// folderError is why the folder of a file cannot be opened.
type folderError struct{ error }

func (e *folderError) Unwrap() error { return e.error }

// terminalFault is why a file cannot be written to, in words that say what to do.
func terminalFault(err error) string {
	var folder *folderError
	in := errors.As(err, &folder)
	switch {
	case in && errors.Is(err, unix.ENOENT):
		return "its folder does not exist and is not made"
	case in && errors.Is(err, unix.ELOOP):
		return "a folder of its path is a symbolic link, which is not followed; name the folder itself"
	case errors.Is(err, unix.ELOOP):
		return "it is a symbolic link, which is not followed"
	case errors.Is(err, unix.ENXIO), errors.Is(err, errNotRegular), errors.Is(err, unix.EISDIR):
		return "it is not a regular file"
	case errors.Is(err, unix.EWOULDBLOCK):
		return "another start or program holds it; name another"
	}
	return err.Error()
}

// begin empties the files that begin anew. What they hold is kept until the start has succeeded.
func (f *terminalFiles) begin() error {
	for _, file := range f.anew {
		f.kept = append(f.kept, keep(file))
		if err := file.Truncate(0); err != nil {
			return fmt.Errorf("empty log file: %w", err)
		}
	}
	return nil
}

// keep copies a file to one beside it that has no name; nil if that cannot be, as on a full disk: a domain that starts is worth more.
func keep(file *os.File) *os.File {
	const flags = unix.O_TMPFILE | unix.O_RDWR | unix.O_CLOEXEC
	fd, err := unix.Open(path.Dir(file.Name()), flags, 0o600)
	if err != nil {
		return nil
	}
	kept := os.NewFile(uintptr(fd), file.Name())
	if _, err = io.Copy(kept, file); err == nil {
		_, err = kept.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = kept.Close()
		return nil
	}
	return kept
}

// restore gives the files of a start that failed what they held. One in which something stands by then is left.
func (f *terminalFiles) restore() error {
	var errs []error
	for i, kept := range f.kept {
		info, err := f.anew[i].Stat()
		if err == nil && info.Size() == 0 && kept != nil {
			_, err = io.Copy(f.anew[i], kept)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// close lets go of all: the monitor has its own by then.
func (f *terminalFiles) close() {
	if f == nil {
		return
	}
	for _, c := range f.folders {
		if c.Folder != nil {
			_ = c.Folder.Close()
		}
	}
	closeAll(f.anew)
	closeAll(f.kept)
	closeAll(f.others)
	f.folders, f.anew, f.kept, f.others = nil, nil, nil, nil
}

// terminalWords tell what consoles are written to, a line each.
func terminalWords(def *davitv1.Domain) string {
	var text strings.Builder
	for _, t := range terminals(def) {
		switch {
		case t.file == "":
		case t.appends:
			fmt.Fprintf(&text, "%s is written to %q, from its end on\n", t.alias, t.file)
		default:
			fmt.Fprintf(&text, "%s is written to %q, which is emptied first\n", t.alias, t.file)
		}
	}
	return text.String()
}
