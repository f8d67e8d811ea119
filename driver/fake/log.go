package fake

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// maxLog is the most that a file of a log holds.
const maxLog = 1 << 20

// logbook writes what a container says as the monitors of real ones do (package driver/monitor/consolelog): in files console.log
// and, before that, console.log.1, lines "TIME ORIGIN F|P TEXT". Where nothing can be written the lines are lost.
type logbook struct {
	dir     string            // of the domain; "" for none
	pending map[string][]byte // what has no end yet, by origin
}

func newLogbook(dir, uuid string) *logbook {
	l := &logbook{pending: make(map[string][]byte)}
	if dir != "" {
		l.dir = filepath.Join(dir, uuid)
	}
	return l
}

// write takes what a console shows, and writes the lines that are whole.
func (l *logbook) write(origin string, p []byte) {
	if l.dir == "" {
		return
	}
	text := append(l.pending[origin], p...)
	for {
		line, rest, ok := bytes.Cut(text, []byte("\n"))
		if !ok {
			break
		}
		l.add(origin, bytes.TrimSuffix(line, []byte("\r")))
		text = rest
	}
	l.pending[origin] = bytes.Clone(text)
}

// end ends the lines that have none, as init's end does.
func (l *logbook) end() {
	for origin, text := range l.pending {
		if len(text) > 0 {
			l.add(origin, text)
		}
		delete(l.pending, origin)
	}
}

// note writes what the driver knows of init.
func (l *logbook) note(format string, args ...any) {
	if l.dir != "" {
		l.add("init", fmt.Appendf(nil, format, args...))
	}
}

func (l *logbook) add(origin string, text []byte) {
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE | unix.O_NOFOLLOW
	path := filepath.Join(l.dir, "console.log")
	if info, err := os.Lstat(path); err == nil && info.Size() > maxLog {
		_ = os.Rename(path, path+".1")
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return
	}
	line := time.Now().UTC().AppendFormat(nil, "2006-01-02T15:04:05.000000000Z ")
	line = append(append(append(line, origin...), " F "...), text...)
	_, _ = file.Write(append(line, '\n'))
	_ = file.Close()
}

// words tells how init ended.
func (x exit) words() string {
	switch {
	case x.lost:
		return "lost"
	case x.signal == unix.SIGINT:
		return "powered off"
	case x.signal == unix.SIGHUP:
		return "rebooted"
	case x.signal != 0:
		return "killed by signal " + strconv.Itoa(int(x.signal))
	}
	return "exited with code " + strconv.Itoa(x.code&0xff)
}
