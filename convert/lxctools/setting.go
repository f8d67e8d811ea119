package lxctools

import (
	"fmt"
	"slices"
	"strings"

	"github.com/davitd/davit/convert"
)

// setting is one "key = value".
type setting struct {
	key   string // in the one spelling
	given string // as the file spells it
	value string // empty: takes back what was set
	file  string
	line  int
}

func (s setting) place() convert.Place {
	return convert.Place{File: s.file, Line: s.line, Name: s.given}
}

// scan reads the lines of a file: blank ones, comments, and settings. As LXC does, it leaves keys alone that do not begin with
// "lxc.", and takes one pair of quotes off a value.
func scan(file, text string, each func(setting), fault func(line int, value, message string)) {
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key = strings.TrimSpace(key)
		switch {
		case !ok:
			fault(number, line, `is not a setting: a line is "key = value", a comment, or blank`)
		case strings.ContainsRune(line, 0):
			fault(number, line, "contains a NUL")
		case !strings.HasPrefix(key, "lxc."):
			// somebody else's
		default:
			each(setting{key: key, given: key, value: unquote(strings.TrimSpace(value)), file: file, line: number})
		}
	}
}

// unquote takes off one pair of quotes.
func unquote(s string) string {
	if n := len(s); n >= 2 && (s[0] == '"' || s[0] == '\'') && s[n-1] == s[0] {
		return s[1 : n-1]
	}
	return s
}

// canonical gives the settings the keys of LXC 2.1 and later. The networks of old, each begun by its type, get numbers.
func canonical(settings []setting) []setting {
	old := map[string]string{}
	for _, k := range Keys() {
		if k.Old != "" {
			old[k.Old] = k.Name
		}
	}
	network := -1
	for i := range settings {
		s := &settings[i]
		if rest, ok := strings.CutPrefix(s.key, "lxc.network"); ok && (rest == "" || rest[0] == '.') {
			s.key = oldNetwork(rest, &network)
			continue
		}
		if rest, ok := strings.CutPrefix(s.key, "lxc.limit."); ok {
			s.key = "lxc.prlimit." + rest
			continue
		}
		if name, ok := old[s.key]; ok {
			s.key = name
		}
	}
	return settings
}

// oldNetwork is the key of a network as it is spelt now.
func oldNetwork(rest string, network *int) string {
	sub := strings.TrimPrefix(rest, ".")
	if sub == "" {
		return "lxc.net"
	}
	if sub[0] >= '0' && sub[0] <= '9' {
		return "lxc.net." + oldSubkey(sub)
	}
	if sub == "type" || *network < 0 {
		*network++
	}
	return fmt.Sprintf("lxc.net.%d.%s", *network, oldSubkey(sub))
}

// oldSubkey is the key within a network as it is spelt now: "ipv4" was the address.
func oldSubkey(sub string) string {
	if sub == "ipv4" || sub == "ipv6" || strings.HasSuffix(sub, ".ipv4") || strings.HasSuffix(sub, ".ipv6") {
		return sub + ".address"
	}
	return sub
}

// effective is the settings that count: an empty value takes back what was set before by its key and those below it, and of
// keys with one value the last counts.
func effective(settings []setting) []setting {
	table := index()
	gone := map[string]bool{} // keys of which nothing earlier counts, nor of those below
	set := map[string]bool{}
	kept := make([]setting, 0, len(settings))
	for _, s := range slices.Backward(settings) {
		switch {
		case s.value == "":
			gone[s.key] = true
		case takenBack(gone, s.key), set[s.key]:
		default:
			if k, ok := table.find(s.key); ok && !k.List && !isRepeated(s.key) {
				set[s.key] = true
			}
			kept = append(kept, s)
		}
	}
	slices.Reverse(kept)
	return kept
}

// takenBack tells whether a key, or one that it is below, is in the set.
func takenBack(gone map[string]bool, key string) bool {
	if len(gone) == 0 {
		return false
	}
	for {
		if gone[key] {
			return true
		}
		dot := strings.LastIndexByte(key, '.')
		if dot < 0 {
			return false
		}
		key = key[:dot]
	}
}
