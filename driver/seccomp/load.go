package seccomp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// MostName bounds the name of a profile.
const MostName = domain.MostFilterName

// extension is what files of profiles are called after their name.
const extension = ".json"

// LoadProfile reads the profile of a name from a folder, where it is NAME.json: a file of its own and no link, that not
// everybody may write. A name that is no plain word is refused before anything is opened.
func LoadProfile(dir, name string, host Facts) (Profile, []string, error) {
	if err := checkName(name); err != nil {
		return Profile{}, nil, err
	}
	file, err := openProfile(dir, name+extension)
	if err != nil {
		return Profile{}, nil, missing(dir, name, err)
	}
	defer func() { _ = file.Close() }()
	p, warnings, err := ReadProfile(file, host)
	if err != nil {
		return Profile{}, nil, named(err, name)
	}
	p.Name = name
	if host.Arch == "" {
		host.Arch = Native
	}
	if err := p.checkStart(host.Arch); err != nil {
		return Profile{}, nil, &domain.Error{
			Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_CONFIG_UNSUPPORTED, Op: "load seccomp profile", Subject: name, Err: err,
		}
	}
	return p, warnings, nil
}

// Profiles are the names of those in a folder, sorted; not of files that no definition can name, as their names are words for other
// filters. A folder that is not there has none.
func Profiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list seccomp profiles: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), extension); ok && e.Type().IsRegular() && checkName(name) == nil && !domain.IsFilterWord(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func checkName(name string) error {
	plain := func(i int, c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || i > 0 && strings.IndexByte("._-", c) >= 0
	}
	right := name != "" && len(name) <= MostName
	for i := 0; right && i < len(name); i++ {
		right = plain(i, name[i])
	}
	if right {
		return nil
	}
	return &domain.Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID, Op: "find seccomp profile",
		Message: fmt.Sprintf("%.80q is no name of a profile: 1 to %d letters, digits, dots, underscores and hyphens, the first a letter or digit", name, MostName),
	}
}

// openProfile opens a file right in a folder without following a link, and without waiting for what is no file.
func openProfile(dir, base string) (*os.File, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = folder.Close() }()
	info, err := folder.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o002 != 0 {
		return nil, writable(dir, info)
	}
	path := filepath.Join(dir, base)
	fd, err := unix.Openat(int(folder.Fd()), base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%q is a symbolic link, which is not followed", path)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	info, err = file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%q is not a regular file", path)
	case info.Mode().Perm()&0o002 != 0:
		err = writable(path, info)
	default:
		return file, nil
	}
	_ = file.Close()
	return nil, err
}

// writable is the error of a file or folder by which everybody could change what guests may do.
func writable(path string, info fs.FileInfo) error {
	return fmt.Errorf("%q may be written by everybody (mode %04o); take that away", path, info.Mode().Perm())
}

// missing says that a profile could not be opened, and which there are.
func missing(dir, name string, cause error) error {
	e := &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_CONFIG_UNSUPPORTED, Op: "load seccomp profile", Subject: name, Err: cause,
		Detail: map[string]string{"profile": name, "folder": dir},
	}
	if !errors.Is(cause, fs.ErrNotExist) {
		return e
	}
	e.Code, e.Reason, e.Err = codes.NotFound, davitv1.ErrorReason_ERROR_REASON_OBJECT_NOT_FOUND, nil
	names, err := Profiles(dir)
	switch {
	case err != nil:
		e.Message = fmt.Sprintf("folder %q has no file %q, and cannot be listed: %v", dir, name+extension, err)
	case len(names) == 0:
		e.Message = fmt.Sprintf("folder %q has no file %q, and no other profile", dir, name+extension)
	default:
		e.Message = fmt.Sprintf("folder %q has no file %q; it has the profiles %s", dir, name+extension, few(names))
	}
	return e
}
