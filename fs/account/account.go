// Package account looks up users and groups in the text of a container's own passwd(5) and group(5) files.
//
// Nothing of the host is asked: no NSS, no cgo, no file is opened. The text comes from an image and is not trusted:
// whatever it holds, [Lookup] gives exact ids or an error, and reads a line that is not well formed as if it were not
// there.
package account

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrUnknown tells that there is no such user or group.
var ErrUnknown = errors.New("not found")

// Error is why a user or group was not found.
type Error struct {
	// Of is what was looked up: "user", "group", "groups of user".
	Of string
	// Name of it, as it was asked for.
	Name string
	// Err is why.
	Err error
}

// Error is `look up user "name": not found`.
func (e *Error) Error() string { return fmt.Sprintf("look up %s %q: %v", e.Of, e.Name, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// MaxGroups is the most supplementary groups that a user can be in here; the kernel's own limit is higher.
const MaxGroups = 1024

// Files are the texts of /etc/passwd and /etc/group; each may be empty.
type Files struct {
	Passwd, Group []byte
}

// Identity is who a process is.
type Identity struct {
	UID, GID uint32
	// Groups are the supplementary groups, ascending; never nil.
	Groups []uint32
	// Home of the user, "/" if it is not known.
	Home string
}

// Lookup finds a user and a group. A user is a name, or a number that need not be in the files; "+N" is a number whatever
// the files say. Without a group the user's own is taken, or 0 if the user has none. Supplementary groups are the user's
// own and those that list its name, and none if a group was given. An empty user is 0, with group 0 and no other. The
// error is an [*Error].
func (f Files) Lookup(user, group string) (Identity, error) {
	who, name, err := f.user(user)
	if err != nil {
		return Identity{}, &Error{"user", user, err}
	}
	if user == "" {
		who.GID, name = 0, ""
	}
	if group != "" {
		if who.GID, err = f.group(group); err != nil {
			return Identity{}, &Error{"group", group, err}
		}
		return who, nil
	}
	if name == "" {
		return who, nil
	}
	if who.Groups, err = f.memberships(name, who.GID); err != nil {
		return Identity{}, &Error{"groups of user", user, err}
	}
	return who, nil
}

// user finds a user, and its name if it has one.
func (f Files) user(user string) (Identity, string, error) {
	who := Identity{Groups: []uint32{}, Home: "/"}
	if user == "" {
		user = "0"
	}
	id, numeric, err := number(user)
	if err != nil {
		return who, "", err
	}
	forced := strings.HasPrefix(user, "+")
	who.UID = id
	for line := range bytes.Lines(f.Passwd) {
		entry, ok := parsePasswd(line)
		if !ok || (numeric && entry.uid != id) || (!numeric && entry.name != user) {
			continue
		}
		who.UID, who.GID = entry.uid, entry.gid
		if strings.HasPrefix(entry.home, "/") {
			who.Home = entry.home
		}
		return who, entry.name, nil
	}
	if numeric || forced {
		return who, "", nil
	}
	return who, "", ErrUnknown
}

func (f Files) group(group string) (uint32, error) {
	id, numeric, err := number(group)
	if err != nil || numeric {
		return id, err
	}
	for line := range bytes.Lines(f.Group) {
		if entry, ok := parseGroup(line); ok && entry.name == group {
			return entry.gid, nil
		}
	}
	return 0, ErrUnknown
}

func (f Files) memberships(name string, primary uint32) ([]uint32, error) {
	groups := []uint32{primary}
	for line := range bytes.Lines(f.Group) {
		entry, ok := parseGroup(line)
		if !ok || !slices.Contains(entry.members, name) || slices.Contains(groups, entry.gid) {
			continue
		}
		if len(groups) == MaxGroups {
			return nil, fmt.Errorf("more than %d groups", MaxGroups)
		}
		groups = append(groups, entry.gid)
	}
	slices.Sort(groups)
	return groups, nil
}

// number reads a user or group that is given by number. A text that begins like a number must be one: "0x10" and
// "4294967296" are errors, not names.
func number(text string) (id uint32, numeric bool, err error) {
	digits := strings.TrimPrefix(text, "+")
	if digits == text && (text == "" || text[0] < '0' || text[0] > '9') {
		return 0, false, validName(text)
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false, errors.New("neither a name nor a number")
		}
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, false, fmt.Errorf("not a number from 0 to %d", uint32(1<<32-2))
	}
	return uint32(n), true, nil
}

func validName(text string) error {
	if text == "" || len(text) > 256 {
		return errors.New("not a name of 1 to 256 bytes")
	}
	if strings.HasPrefix(text, "-") || strings.ContainsAny(text, ":/ \t\n\x00") {
		return errors.New("not a name")
	}
	return nil
}
