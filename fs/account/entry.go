package account

import (
	"bytes"
	"strconv"
	"strings"
)

// passwdEntry is a line of passwd(5).
type passwdEntry struct {
	name     string
	uid, gid uint32
	home     string
}

func parsePasswd(line []byte) (passwdEntry, bool) {
	fields := bytes.SplitN(bytes.TrimRight(line, "\r\n"), []byte(":"), 8)
	if len(fields) != 7 || len(fields[0]) == 0 {
		return passwdEntry{}, false
	}
	uid, ok1 := parseID(fields[2])
	gid, ok2 := parseID(fields[3])
	return passwdEntry{name: string(fields[0]), uid: uid, gid: gid, home: string(fields[5])}, ok1 && ok2
}

// groupEntry is a line of group(5).
type groupEntry struct {
	name    string
	gid     uint32
	members []string
}

func parseGroup(line []byte) (groupEntry, bool) {
	fields := bytes.SplitN(bytes.TrimRight(line, "\r\n"), []byte(":"), 5)
	if len(fields) != 4 || len(fields[0]) == 0 {
		return groupEntry{}, false
	}
	gid, ok := parseID(fields[2])
	entry := groupEntry{name: string(fields[0]), gid: gid}
	if len(fields[3]) > 0 {
		entry.members = strings.Split(string(fields[3]), ",")
	}
	return entry, ok
}

// parseID reads an id. The highest means "no change" to the kernel and is none.
func parseID(field []byte) (uint32, bool) {
	if len(field) == 0 || field[0] == '+' || field[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(field), 10, 32)
	return uint32(n), err == nil && n != 1<<32-1
}
