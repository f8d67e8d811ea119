package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protojson"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// SyncDelay is how long a record may be in the kernel's memory only.
const SyncDelay = time.Second

// lossPause is the least time between two lines of the daemon's log about records that could not be written.
const lossPause = time.Minute

// LogOptions are what a log is made of. All but Logger are required.
type LogOptions struct {
	// Dir is the folder of the files; it is made where missing.
	Dir string
	// MaxFileBytes is the size of a file at which the next is begun.
	MaxFileBytes int64
	// MaxFiles is how many files are kept. Of refused calls there are a quarter as many beside them, one at least.
	MaxFiles int
	// Logger hears of records that could not be written.
	Logger *zap.Logger

	// write writes to a file, and sync brings one to the disk; those of the file when nil.
	write func(*os.File, []byte) (int, error)
	sync  func(*os.File) error
	// boot tells this boot of the host from others; that of the kernel when empty.
	boot string
}

// Log is the audit log. The methods may be called from any goroutine.
type Log struct {
	options LogOptions
	log     *zap.Logger
	root    *os.Root

	mu       sync.Mutex
	let      *series // calls that were let in
	refused  *series // calls that were denied: whoever may nothing can only push out what is in here
	sequence uint64  // of the last record
	mark     mark    // what keeps it where records are lost
	changed  chan struct{}
	syncing  bool // a sync is on its way
	closed   bool
	lost     uint64
	told     time.Time // when the last loss was logged

	retired    []*os.File // that are written to no more, and not on the disk yet
	retiring   bool       // they are brought there
	background sync.WaitGroup
}

// maxRetired is how many files may wait for a disk that is slow, open.
const maxRetired = 16

// OpenLog opens the log, and goes on after its last record.
func OpenLog(o LogOptions) (*Log, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.write == nil {
		o.write = (*os.File).Write
	}
	if o.sync == nil {
		o.sync = (*os.File).Sync
	}
	if o.boot == "" {
		o.boot = bootID()
	}
	l := &Log{options: o, log: o.Logger.Named("audit"), changed: make(chan struct{})}
	err := os.MkdirAll(o.Dir, 0o700)
	if err == nil {
		err = os.Chmod(o.Dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("make audit folder: %w", err)
	}
	if l.root, err = os.OpenRoot(o.Dir); err != nil {
		return nil, fmt.Errorf("open audit folder: %w", err)
	}
	l.let = &series{log: l, name: current, maxFiles: o.MaxFiles}
	l.refused = &series{log: l, name: currentRefused, maxFiles: max(1, o.MaxFiles/4)}
	for _, s := range l.all() {
		if err == nil {
			err = s.resume()
		}
	}
	if err == nil {
		err = l.let.open()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open audit log: %w", err), l.finish(l.files()), l.root.Close())
	}
	l.openMark()
	return l, nil
}

// openMark goes on after what the mark says. A log without one is a log.
func (l *Log) openMark() {
	l.mark.boot = l.options.boot
	used, err := l.mark.open(l.root)
	l.sequence = max(l.sequence, used)
	if err == nil {
		err = l.mark.write(l.sequence, markOpen)
	}
	if err == nil {
		err = l.options.sync(l.mark.file)
	}
	if err != nil {
		l.log.Error("should records be lost, their numbers may be used once more", zap.Error(err))
	}
}

// all are the files of each kind.
func (l *Log) all() []*series { return []*series{l.let, l.refused} }

// Append numbers a record and writes it. A record that cannot be written is lost: nothing waits for a disk that is full.
func (l *Log) Append(r *davitv1.AuditRecord) (sequence uint64) {
	if denied(r.GetCode()) {
		return l.append(l.refused, r)
	}
	return l.append(l.let, r)
}

// AppendRefused is [Log.Append] for calls that were refused, whatever their code says.
func (l *Log) AppendRefused(r *davitv1.AuditRecord) (sequence uint64) { return l.append(l.refused, r) }

func (l *Log) append(to *series, r *davitv1.AuditRecord) (sequence uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sequence++
	r.Sequence = l.sequence
	if err := l.write(to, r); err != nil {
		l.lose(err)
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return r.GetSequence()
}

// Lost is how many records could not be written.
func (l *Log) Lost() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// write writes a record to files. The mutex is held.
func (l *Log) write(to *series, r *davitv1.AuditRecord) error {
	line, err := encode(r)
	if err != nil {
		return err
	}
	if l.closed {
		return os.ErrClosed
	}
	return to.write(line)
}

// lose counts a record that could not be written, and sees to it that its number is used by no other. The mutex is held.
func (l *Log) lose(err error) {
	l.lost++
	err = errors.Join(err, l.mark.write(l.sequence, markOpen))
	if now := time.Now(); l.told.IsZero() || now.Sub(l.told) >= lossPause {
		l.told = now
		l.log.Error("record is lost", zap.Uint64("sequence", l.sequence), zap.Uint64("lost", l.lost), zap.Error(err))
	}
}

// syncSoon has what was written brought to the disk. The mutex is held.
func (l *Log) syncSoon() {
	if l.syncing {
		return
	}
	l.syncing = true
	time.AfterFunc(SyncDelay, func() {
		l.mu.Lock()
		l.syncing = false
		open := l.files() // what is closed was brought there then
		l.mu.Unlock()
		for _, file := range open {
			if err := l.options.sync(file); err != nil && !errors.Is(err, os.ErrClosed) {
				l.log.Error("bring records to the disk", zap.Error(err))
			}
		}
	})
}

// files are those that are written to. The mutex is held, or nobody else knows the log yet.
func (l *Log) files() []*os.File {
	var open []*os.File
	for _, file := range []*os.File{l.let.file, l.refused.file, l.mark.file} {
		if file != nil {
			open = append(open, file)
		}
	}
	return open
}

// retire has a file that is written to no more brought to the disk and closed, and the names of all. Nobody waits for that. The
// mutex is held.
func (l *Log) retire(file *os.File) {
	if len(l.retired) >= maxRetired {
		l.log.Error("the disk is too slow for the audit log: the kernel is left to bring a file there when it likes")
		_ = file.Close()
		return
	}
	l.retired = append(l.retired, file)
	if !l.retiring {
		l.retiring = true
		l.background.Go(l.finishRetired)
	}
}

// finishRetired ends the files that were retired, until there are no more.
func (l *Log) finishRetired() {
	for {
		l.mu.Lock()
		files := l.retired
		l.retired = nil
		l.retiring = len(files) > 0
		l.mu.Unlock()
		if len(files) == 0 {
			return
		}
		if err := l.finish(files); err != nil {
			l.log.Error("end an audit file", zap.Error(err))
		}
		l.syncFolder()
	}
}

// syncFolder brings the names to the disk.
func (l *Log) syncFolder() {
	dir, err := l.root.Open(".")
	if err == nil {
		err = errors.Join(l.options.sync(dir), dir.Close())
	}
	if err != nil {
		l.log.Error("bring the names of audit files to the disk", zap.Error(err))
	}
}

// Close brings what was written to the disk and ends the log. Readers that follow are ended by their contexts.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	files := l.files()
	var err error
	if l.mark.file != nil { // a log without one is a log, and ends as one
		err = l.mark.write(l.sequence, markEnded)
	}
	l.let.file, l.refused.file, l.mark.file = nil, nil, nil
	l.mu.Unlock()
	l.background.Wait()
	return errors.Join(err, l.finish(files), l.root.Close())
}

// finish brings files to the disk and closes them.
func (l *Log) finish(files []*os.File) error {
	var errs []error
	for _, file := range files {
		errs = append(errs, l.options.sync(file), file.Close())
	}
	return errors.Join(errs...)
}

// encode makes a line of a record.
func encode(r *davitv1.AuditRecord) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	var line bytes.Buffer // protojson puts in blanks as it likes
	if err := json.Compact(&line, text); err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	line.WriteByte('\n')
	return line.Bytes(), nil
}

// decode makes a record of a line; nil if it is none.
func decode(line []byte) *davitv1.AuditRecord {
	r := &davitv1.AuditRecord{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, r); err != nil || r.GetSequence() == 0 {
		return nil
	}
	return r
}
