package domain

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Tunable is a field of a definition that can be changed by itself, known by its path in Domain: "cputune.shares".
type Tunable string

// tunables are all of them: first those that only a stored definition can change.
var tunables = []Tunable{
	"memory_kib", "vcpu.count", "numatune.mode",
	"current_memory_kib", "memtune.hard_limit_kib", "memtune.soft_limit_kib", "memtune.swap_hard_limit_kib",
	"cputune.shares", "cputune.period", "cputune.quota", "pids_limit", "blkiotune.weight", "blkiotune.device", "numatune.nodeset",
	"on_poweroff", "on_reboot", "on_crash", "restart.delay_ms", "restart.max_delay_ms", "restart.limit", "restart.interval_s",
}

// Tunables are all fields that can be changed by themselves.
func Tunables() []Tunable { return slices.Clone(tunables) }

// ParseTunable finds the tunable of a path.
func ParseTunable(path string) (Tunable, bool) {
	t := Tunable(path)
	return t, slices.Contains(tunables, t)
}

// stored is how many of them only a stored definition can change.
const stored = 3

// Live tells whether a running domain can be changed so. The memory and the processors that it was started with stay, and how
// it uses memory nodes; which these are can be changed while it is bound to them: see [BindsMemory].
func (t Tunable) Live() bool { return slices.Index(tunables, t) >= stored }

// BindsMemory tells whether a domain can have memory of no other nodes than those of its definition, if it names some: that
// is a limit, which can be changed while it runs, where any other mode is what its processes were begun with.
func BindsMemory(def *davitv1.Domain) bool {
	switch def.GetNumatune().GetMode() {
	case davitv1.NumaMode_NUMA_MODE_PREFERRED, davitv1.NumaMode_NUMA_MODE_INTERLEAVE:
		return false
	default:
		return true
	}
}

// Copy makes the field what it is in another definition: absent where it is absent there. The result is neither
// normalised nor validated.
func (t Tunable) Copy(to, from *davitv1.Domain) {
	source, f := t.find(from, false)
	if f.desc.IsList() {
		// Entries are messages: what is copied is to be the other definition's own.
		source, _ = t.find(proto.CloneOf(from), false)
	}
	switch {
	case source.IsValid() && source.Has(f.desc):
		target, _ := t.find(to, true)
		target.Set(f.desc, source.Get(f.desc))
	default:
		if target, _ := t.find(to, false); target.IsValid() {
			target.Clear(f.desc)
		}
	}
}

// Text is the field's value as the notations spell it, empty if it is absent. Entries of a list are the names and values of
// their fields, with "; " between entries.
func (t Tunable) Text(def *davitv1.Domain) string {
	m, f := t.find(def, false)
	if !m.IsValid() || !m.Has(f.desc) {
		return ""
	}
	if !f.desc.IsList() {
		return f.format(m.Get(f.desc))
	}
	var entries []string
	for i := range m.Get(f.desc).List().Len() {
		entries = append(entries, f.message.words(m.Get(f.desc).List().Get(i).Message()))
	}
	return strings.Join(entries, "; ")
}

// words are the fields of a message of plain values.
func (s *schema) words(m protoreflect.Message) string {
	var words []string
	for _, f := range s.fields {
		if m.Has(f.desc) {
			words = append(words, f.name+"="+f.format(m.Get(f.desc)))
		}
	}
	return strings.Join(words, " ")
}

// find gives the message that holds the field, and the field. Messages on the way are made if they are asked for;
// otherwise the message may be an invalid one, which holds nothing.
func (t Tunable) find(def *davitv1.Domain, create bool) (protoreflect.Message, *field) {
	m, s := def.ProtoReflect(), domainSchema()
	steps := strings.Split(string(t), ".")
	for _, step := range steps[:len(steps)-1] {
		f := s.byName[step]
		s = f.message
		if create {
			m = m.Mutable(f.desc).Message()
		} else {
			m = m.Get(f.desc).Message()
		}
	}
	return m, s.byName[steps[len(steps)-1]]
}
