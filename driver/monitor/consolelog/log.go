package consolelog

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The bounds of a log that does not say.
const (
	DefaultMaxBytes = 10 << 20
	DefaultMaxFiles = 3
)

const (
	// leastMaxBytes is more than the longest line.
	leastMaxBytes = 64 << 10
	// mostMaxFiles bounds what a rotation has to rename.
	mostMaxFiles = 100

	// capacity is the most that is held of what is not written yet.
	capacity = 1 << 20
	// noteRoom is what is left for notes when it is full: how init ended is worth more than what it said.
	noteRoom = 16 << 10
	// spareBytes is the largest buffer that is kept while there is nothing to write.
	spareBytes = 16 << 10
	// firstRetry and lastRetry are how long it takes until what could not be written is tried again.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 10 * time.Second
	// closeTime is how long a log may take to write its last lines.
	closeTime = time.Second

	// timeFormat is RFC 3339 with all digits of a nanosecond.
	timeFormat = "2006-01-02T15:04:05.000000000Z"
)

// Origins that are no consoles.
const (
	Init  = "init"
	davit = "davit"
)

// Marks of a line.
const (
	full = 'F'
	part = 'P'
)

// Options say where a log is.
type Options struct {
	// Folder of the domain's logs. It is the log's from then on.
	Folder *os.File
	// Name of the current file, [Name] when empty.
	Name string
	// Raw has the bytes of one console in the files as they are ([Log.Write]), and nothing of davit but what was lost.
	Raw bool
	// MaxBytes is the most that a file holds, MaxFiles how many there are; 0 are the defaults.
	MaxBytes int64
	MaxFiles int
	// Fault is told why lines cannot be written, once until some were again; may be nil.
	Fault func(error)
}

// Log is the log of a domain. It may be used from any goroutine, and none waits for a disk. A nil one drops everything.
type Log struct {
	store store
	raw   bool
	fault func(error)

	mu      sync.Mutex
	pending []byte        // whole lines that the writer has not taken
	spare   []byte        // an empty buffer
	held    int           // bytes that the writer has taken and not written
	lost    uint64        // bytes that were dropped since it was last told
	closed  bool          // nothing follows
	wake    chan struct{} // there is something to write
	hurry   chan struct{} // try now, for it is the end
	ended   chan struct{} // the writer has ended
}

// store is where lines go.
type store interface {
	// write writes lines from their beginning, which is where the last write stopped, and tells how far it came.
	write(lines []byte) (n int, err error)
	close()
}

// Open makes a log. The first line makes the file.
func Open(o Options) *Log {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxFiles == 0 {
		o.MaxFiles = DefaultMaxFiles
	}
	if o.Name == "" {
		o.Name = Name
	}
	return open(o.Raw, &files{
		folder: o.Folder, name: o.Name, raw: o.Raw, maxBytes: max(o.MaxBytes, leastMaxBytes), maxFiles: min(max(o.MaxFiles, 1), mostMaxFiles),
	}, o.Fault)
}

func open(raw bool, s store, fault func(error)) *Log {
	if fault == nil {
		fault = func(error) {}
	}
	l := &Log{
		store: s, raw: raw, fault: fault, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	go l.run()
	return l
}

// Note writes a line about the container.
func (l *Log) Note(origin, text string) {
	l.add(origin, full, []byte(strings.ReplaceAll(text, "\n", " ")), capacity+noteRoom)
}

// say adds a line of a console.
func (l *Log) say(origin string, mark byte, text []byte) { l.add(origin, mark, text, capacity) }

// add adds a line to those that are to be written, or drops it if there is no room.
func (l *Log) add(origin string, mark byte, text []byte, room int) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	const head = len(timeFormat) + len(" ") + len(" F ") + len("\n")
	notice := 0
	if l.lost > 0 {
		notice = 64 // a notice is not longer
	}
	if l.closed || len(l.pending)+l.held+notice+head+len(origin)+len(text) > room {
		l.lost += uint64(len(text))
		if mark == full {
			l.lost++ // the end of the line
		}
		return
	}
	l.tellLost()
	if l.pending == nil {
		l.pending, l.spare = l.spare, nil
	}
	l.pending = appendLine(l.pending, time.Now(), origin, mark, text)
	poke(l.wake)
}

// tellLost adds the notice of what was dropped. All lines that are pending came before it.
func (l *Log) tellLost() {
	if l.lost > 0 {
		text := "lost " + strconv.FormatUint(l.lost, 10) + " bytes"
		if l.raw {
			l.pending, l.lost = append(l.pending, "\r\n["+davit+": "+text+"]\r\n"...), 0
			return
		}
		l.pending = appendLine(l.pending, time.Now(), davit, full, []byte(text))
		l.lost = 0
	}
}

// Write takes what the console of a raw log says.
func (l *Log) Write(p []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.pending)+l.held+len(p) > capacity {
		l.lost += uint64(len(p))
		return
	}
	l.tellLost()
	if l.pending == nil {
		l.pending, l.spare = l.spare, nil
	}
	l.pending = append(l.pending, p...)
	poke(l.wake)
}

// End does nothing: the runs of init follow each other in a raw log.
func (l *Log) End() {}

func appendLine(to []byte, at time.Time, origin string, mark byte, text []byte) []byte {
	to = at.UTC().AppendFormat(to, timeFormat)
	to = append(append(to, ' '), origin...)
	to = append(to, ' ', mark, ' ')
	return append(append(to, text...), '\n')
}

// poke makes a channel have something to receive.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Close writes what is left, as far as it can be in a moment, and closes the files. What is written later is dropped.
func (l *Log) Close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	poke(l.hurry)
	select {
	case <-l.ended:
	case <-time.After(closeTime): // the disk hangs
	}
}
