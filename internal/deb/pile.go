package main

import (
	"archive/tar"
	"bytes"
	"iter"
	"maps"
	"path"
	"slices"
	"time"
)

// pile makes a tar archive of files, each folder before what is in it, all of root's.
func pile(files map[string]file, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	made := map[string]bool{}
	var folder func(name string) error
	folder = func(name string) error {
		if made[name] {
			return nil
		}
		made[name] = true
		full := "./"
		if name != "." {
			if err := folder(path.Dir(name)); err != nil {
				return err
			}
			full += name + "/"
		}
		return w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeDir, Name: full, Mode: 0o755, ModTime: at, Uname: "root", Gname: "root", Format: tar.FormatGNU,
		})
	}
	for _, name := range slices.Sorted(keys(files)) {
		if err := folder(path.Dir(name)); err != nil {
			return nil, err
		}
		f := files[name]
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: "./" + name, Mode: int64(f.mode.Perm()), Size: int64(len(f.data)), ModTime: at,
			Uname: "root", Gname: "root", Format: tar.FormatGNU,
		}
		if f.target != "" {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, f.target, 0
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

func keys(files map[string]file) iter.Seq[string] { return maps.Keys(files) }
