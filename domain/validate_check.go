package domain

import (
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"
)

// entryOf is the place of the i-th entry of a list.
func entryOf(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

// wordOf is the word of an enum field of a message.
func (v *validator) wordOf(m proto.Message, name string) string {
	f := domainSchema().all[m.ProtoReflect().Descriptor().FullName()].byName[name]
	return f.format(m.ProtoReflect().Get(f.desc))
}

// required refuses the absence of a value.
func (v *validator) required(field, value, message string) {
	if value == "" {
		v.fault(field, "%s", message)
	}
}

// word refuses what is none of some words. An absent one is none of them and not refused.
func (v *validator) word(field, value string, words ...string) {
	if value != "" && !slices.Contains(words, value) {
		v.fault(field, "%s", oneOf(value, words))
	}
}

// unique refuses a value of the i-th entry of a list that an earlier entry has, too. what says of what: "the target of disk".
func (v *validator) unique(seen map[string]int, i int, field, value, what string) {
	if value == "" {
		return
	}
	if first, ok := taken(seen, value, i); ok {
		v.fault(field, "%s is already %s %d", quote(value), what, first+1)
	}
}

// taken tells which entry of a list has something already; the i-th has it if none does.
func taken[K comparable](seen map[K]int, key K, i int) (first int, ok bool) {
	if first, ok = seen[key]; !ok {
		seen[key] = i
	}
	return first, ok
}

// source is a field that says where a device's content comes from, with its value.
type source struct{ field, value string }

// foreign refuses sources that are not those of a device's own type. what says of what, and m its type, if it is not nil.
func (v *validator) foreign(place func(string) string, sources []source, what string, m proto.Message, own ...string) {
	for _, s := range sources {
		if s.value != "" && !slices.Contains(own, s.field) {
			if m != nil {
				what += " of type " + v.wordOf(m, "type")
				m = nil
			}
			v.fault(place(s.field), "%s has no such source: %s", what, quote(s.value))
		}
	}
}

// absolute refuses a path that is missing or no path of the host.
func (v *validator) absolute(field, path, missing string) {
	if path == "" {
		v.fault(field, "%s", missing)
	} else if message := pathFault(path); message != "" {
		v.fault(field, "source %s", message)
	}
}
