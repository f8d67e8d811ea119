package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// folderFiles are the files of the host that lie in some folders, by their absolute paths without the leading slash. Nothing
// leads out of them, symbolic links neither.
type folderFiles struct {
	folders []string
	roots   []*os.Root // nil where there is no such folder
}

func openFolders(folders []string) *folderFiles {
	f := &folderFiles{folders: folders}
	for _, folder := range folders {
		root, err := os.OpenRoot(folder)
		if err != nil {
			root = nil
		}
		f.roots = append(f.roots, root)
	}
	return f
}

func (f *folderFiles) close() {
	for _, root := range f.roots {
		if root != nil {
			_ = root.Close()
		}
	}
}

// Open opens a file or a folder. What is neither, a pipe for one, is refused, for it might be waited for.
func (f *folderFiles) Open(name string) (fs.File, error) {
	for i, folder := range f.folders {
		below, ok := strings.CutPrefix("/"+name, strings.TrimSuffix(filepath.ToSlash(folder), "/"))
		if !ok || below != "" && below[0] != '/' {
			continue
		}
		if f.roots[i] == nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		within := "." + below
		info, err := f.roots[i].Stat(within)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() && !info.IsDir() {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
		}
		return f.roots[i].Open(within)
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}
