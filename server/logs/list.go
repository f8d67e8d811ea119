package logs

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// ListLogs lists the domains that have a log, in order of name.
func (l *Logs) ListLogs(ctx context.Context) ([]*davitv1.Log, error) {
	l.catchUp(ctx)
	all, err := l.uuids()
	if err != nil {
		return nil, err
	}
	var list []*davitv1.Log
	for _, uuid := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		log, err := l.describe(uuid)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, log)
	}
	slices.SortFunc(list, func(a, b *davitv1.Log) int {
		return cmp.Or(cmp.Compare(a.GetName(), b.GetName()), cmp.Compare(a.GetUuid(), b.GetUuid()))
	})
	return list, nil
}

// describe tells about the log of a domain.
func (l *Logs) describe(uuid string) (*davitv1.Log, error) {
	dir, err := l.folder(uuid)
	if err != nil {
		return nil, err
	}
	defer dir.close()
	log := &davitv1.Log{Uuid: uuid}
	name, _, there := l.options.Domains.Lookup(uuid)
	if !there {
		log.Gone = true
		if name, err = dir.name(); err != nil {
			return nil, err
		}
	}
	log.Name = name
	bytes, modified, err := dir.size()
	if err != nil {
		return nil, err
	}
	log.SizeBytes = bytes
	if !modified.IsZero() {
		log.Modified = timestamppb.New(modified)
	}
	return log, nil
}
