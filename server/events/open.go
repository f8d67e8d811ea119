package events

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"
	"go.uber.org/zap"
)

// Open opens the journal of a folder, which is made if it is not there. The caller sees to it that only one process
// does so.
func Open(dir string, o Options) (*Journal, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("open journal %q: %w", dir, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{root: root, opts: o, wake: make(chan struct{}), origins: make(map[string]stamped)}
	if err := j.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open journal %q: %w", dir, err), root.Close())
	}
	j.sync = newSyncer(root, o.Logger, j.active)
	return j, nil
}

// complete puts the defaults in and refuses what cannot be.
func (o *Options) complete() error {
	if o.MaxEvents == 0 {
		o.MaxEvents = DefaultMaxEvents
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxLag == 0 {
		o.MaxLag = DefaultMaxLag
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.MaxEvents < MinEvents {
		return fmt.Errorf("limit of %d events is below the least, %d", o.MaxEvents, MinEvents)
	}
	if o.MaxBytes < MinBytes {
		return fmt.Errorf("limit of %d bytes is below the least, %d", o.MaxBytes, MinBytes)
	}
	if o.MaxLag < 1 {
		return fmt.Errorf("lag of %d events is below the least, 1", o.MaxLag)
	}
	if o.boot == "" {
		boot, err := bootID()
		if err != nil {
			return err
		}
		o.boot = boot
	}
	return nil
}

// open reads what is there and goes on with it, or begins a new epoch.
func (j *Journal) open() error {
	died, err := hostDied(j.root, j.opts.boot)
	if err != nil {
		return err
	}
	files, tail, err := j.readAll()
	if err != nil {
		return err
	}
	why := fault(files)
	if why == nil {
		why = j.fillRecent(files, tail)
	}
	if why == nil && died {
		why = errors.New("the host went down while the journal was open")
	}
	if why != nil {
		j.opts.Logger.Warn("journal begins a new epoch", zap.Error(why))
	}
	if why != nil || len(files) == 0 {
		err = j.beginEpoch(files)
	} else {
		err = j.goOn(files)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(mark(j.root, j.opts.boot), syncFolder(j.root)); err != nil {
		return errors.Join(err, j.active.Close())
	}
	return nil
}

// readAll scans every segment, one at a time, keeps the origins and the newest events, and removes what a daemon that
// was killed left half made.
func (j *Journal) readAll() (files []scanned, tail []record, err error) {
	if err = j.root.Remove(newName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	names, err := segmentNames(j.root)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		data, err := j.root.ReadFile(name)
		if err != nil {
			return nil, nil, err
		}
		s := scanSegment(data)
		if s.damage == nil && s.name() != name {
			s.damage = fmt.Errorf("its first event is %d", s.first)
		}
		if s.damage != nil {
			s.damage = fmt.Errorf("segment %q: %w", name, s.damage)
		}
		for uuid, o := range s.origins {
			j.remember(uuid, o)
		}
		for _, r := range s.records {
			j.remember(r.uuid, stamped{Origin: r.from, at: r.sequence})
		}
		tail = newest(append(tail, newest(s.records)...))
		s.records = nil
		files = append(files, s)
	}
	return files, tail, nil
}

// newest copies the records that fit into memory, so that the rest of their file does not stay there.
func newest(all []record) []record {
	tail := slices.Clone(all[max(0, len(all)-recentEvents):])
	for i := range tail {
		tail[i].message = bytes.Clone(tail[i].message)
	}
	return tail
}

// fault tells why the segments are not one journal, nil if they are.
func fault(files []scanned) error {
	for i, s := range files {
		switch {
		case s.damage != nil:
			return s.damage
		case i > 0 && s.epoch != files[0].epoch:
			return fmt.Errorf("segment %q: it is of another epoch", s.name())
		case i > 0 && s.first != files[i-1].next():
			return fmt.Errorf("segment %q: the events before it end with %d", s.name(), files[i-1].next()-1)
		case i < len(files)-1 && s.torn:
			return fmt.Errorf("segment %q: it ends within a record", s.name())
		}
	}
	return nil
}

// goOn continues the journal of the segments, less the record that was being written when the daemon was killed.
func (j *Journal) goOn(files []scanned) error {
	last := files[len(files)-1]
	j.id, j.epoch = last.epoch, last.epoch.String()
	for _, s := range files {
		j.segments = append(j.segments, &segment{first: s.first, count: s.count, start: s.start, size: s.size})
	}
	active, err := j.openActive(last.name())
	if err != nil {
		return err
	}
	j.active = active
	if last.torn {
		if err := active.Truncate(last.size); err != nil {
			return errors.Join(fmt.Errorf("cut segment %q: %w", last.name(), err), active.Close())
		}
	}
	return nil
}

// fillRecent takes the newest events into memory.
func (j *Journal) fillRecent(files []scanned, tail []record) error {
	for _, r := range tail {
		ev, err := r.event(files[len(files)-1].epoch.String())
		if err != nil {
			return err
		}
		j.recent.add(ev, len(r.message))
	}
	return nil
}

// beginEpoch sets the segments aside and begins with number 1. The oldest is set aside first: a daemon that is killed
// meanwhile leaves the newest, so that no number of the old epoch can be used again.
func (j *Journal) beginEpoch(files []scanned) error {
	names, err := folderNames(j.root)
	if err != nil {
		return err
	}
	if len(files) > 0 {
		for _, name := range names {
			if strings.HasSuffix(name, oldSuffix) {
				if err = j.root.Remove(name); err != nil {
					return err
				}
			}
		}
	}
	for _, name := range names {
		if strings.HasSuffix(name, segmentSuffix) {
			if err = j.root.Rename(name, name+oldSuffix); err != nil {
				return err
			}
		}
	}
	j.recent = recent{}
	j.id = uuid.New()
	j.epoch = j.id.String()
	seg, active, err := j.create(1)
	if err != nil {
		return err
	}
	j.segments, j.active = []*segment{seg}, active
	return nil
}
