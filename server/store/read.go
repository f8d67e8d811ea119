package store

import (
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"
)

// reading is what became of one file.
type reading[T any] struct {
	name  string
	value T
	err   error
}

// readAll reads and decodes the files of a folder that have a suffix, as many at once as there are processors. They are in the order of
// their names. The error is that of the folder; each file has its own.
func readAll[T any](f *folder, suffix string, decode func(text []byte) (T, error)) ([]reading[T], error) {
	names, err := f.names()
	if err != nil {
		return nil, err
	}
	all := make([]reading[T], 0, len(names))
	for _, name := range names {
		if strings.HasSuffix(name, suffix) {
			all = append(all, reading[T]{name: name})
		}
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range all {
		group.Go(func() error {
			r := &all[i]
			var text []byte
			if text, r.err = f.root.ReadFile(r.name); r.err == nil {
				r.value, r.err = decode(text)
			}
			return nil
		})
	}
	return all, group.Wait()
}
