package launch

import (
	"errors"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/fs"
	"github.com/davitd/davit/fs/account"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// maxAccountFile is the most that is read of a container's passwd or group file.
const maxAccountFile = 1 << 20

// identify finds the user and the groups of a process, as the container's own files know them. withHome asks for the home of
// user 0 too, for whom the files are otherwise not needed.
func identify(root *os.File, p *monitorv1.Process, withHome bool) (account.Identity, error) {
	if p.GetUser() == "" && p.GetGroup() == "" && !withHome {
		return account.Identity{Groups: []uint32{}, Home: "/"}, nil
	}
	lenient := isNumber(p.GetUser()) && isNumber(p.GetGroup())
	passwd, err1 := readAccounts(root, "etc/passwd", lenient)
	group, err2 := readAccounts(root, "etc/group", lenient)
	if err := errors.Join(err1, err2); err != nil {
		return account.Identity{}, err
	}
	return account.Files{Passwd: passwd, Group: group}.Lookup(p.GetUser(), p.GetGroup())
}

// lookUp is [identify] with the error that a caller is to see: one that the process asks for somebody who is not there, unless
// the container's files could not be read.
func lookUp(root *os.File, p *monitorv1.Process, withHome bool) (account.Identity, error) {
	who, err := identify(root, p, withHome)
	if err == nil {
		return who, nil
	}
	name, of := p.GetUser(), "user"
	if told, ok := errors.AsType[*account.Error](err); ok {
		name, of, err = told.Name, told.Of, told.Err
	}
	s := step{operation: "look up " + of, object: name}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return who, failed(s, err)
	}
	return who, invalid(s, "%v", err)
}

// isNumber tells whether a user or group needs no file to be known.
func isNumber(name string) bool {
	return name == "" || strings.HasPrefix(name, "+") || name[0] >= '0' && name[0] <= '9'
}

// readAccounts reads a file that an image need not have. If lenient, it may also be something that is not read.
func readAccounts(root *os.File, path string, lenient bool) ([]byte, error) {
	data, err := fs.ReadFile(root, path, maxAccountFile)
	if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || lenient {
		return data, nil
	}
	return nil, err
}
