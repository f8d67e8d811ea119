package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

var (
	tagged   = regexp.MustCompile(`^v?(\d[A-Za-z0-9.+~]*)(?:-(\d+)-g([0-9a-f]+))?(-dirty)?$`)
	untagged = regexp.MustCompile(`^([0-9a-f]{4,40})(-dirty)?$`)
)

// debianVersion makes what git describe says a version that Debian orders as git does: v1.2 is 1.2, five commits on is
// 1.2+git5.gabcdef, a tree without a tag is older than any that has one, and changes that are not committed are newer than
// the commit.
func debianVersion(described string, at time.Time) (string, error) {
	if m := untagged.FindStringSubmatch(described); m != nil {
		return fmt.Sprintf("0~git%s.%s%s", at.Format("20060102150405"), m[1], dirty(m[2])), nil
	}
	m := tagged.FindStringSubmatch(described)
	if m == nil {
		return "", fmt.Errorf("read version %q: is none of git describe's nor Debian's", described)
	}
	version := m[1]
	if m[2] != "" {
		version += "+git" + m[2] + ".g" + m[3]
	}
	return version + dirty(m[4]), nil
}

func dirty(suffix string) string { return strings.Replace(suffix, "-", "+", 1) }
