package lxctools

import (
	"io/fs"
	"strconv"
	"strings"

	"github.com/davitd/davit/convert"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Options say what a configuration may draw on.
type Options struct {
	// Files holds the files that a configuration may name in lxc.include and lxc.mount.fstab, by their absolute paths without
	// the leading slash. It is all that can be reached; fs.ErrPermission says that a file lies elsewhere. Nil: no file is read.
	Files fs.FS
	// Folders that Files opens, for the words of an error.
	Folders []string
	// Folder is the absolute folder in which the file's name counts, where that is relative. Empty: "/".
	Folder string
	// Name of the domain where the configuration has none. Empty: "unnamed", as in libvirt.
	Name string
	// Strict makes faults of keys that are not known, with the nearest that is.
	Strict bool
}

// libvirt's defaults.
const (
	defaultName      = "unnamed"
	defaultMemoryKiB = 64 << 10
	defaultInit      = "/sbin/init"
)

// Parse reads a configuration; name is its file's, for what is told of it and for the files that it names by relative paths.
// The definition is normalised and valid; it has no uuid, which is made up when it is defined. The error is a *[convert.Error].
func Parse(name string, text []byte, o Options) (*davitv1.Domain, []convert.Warning, error) {
	r := &reading{
		options: o, origin: convert.Origin{}, def: newDomain(),
		limits: map[string]setting{}, targets: map[string]int{}, blkio: map[string]*davitv1.BlkioDevice{}, nodes: map[string]bool{},
	}
	l := &loader{report: &r.Report, options: o}
	l.text(name, string(text), 0)
	settings := effective(canonical(l.settings))
	r.take(settings)
	r.finish()
	convert.Complete(r.def, &r.Report, r.origin)
	if err := r.Err("read LXC configuration"); err != nil {
		return nil, r.Warnings(), err
	}
	return r.def, r.Warnings(), nil
}

// newDomain is what libvirt begins with.
func newDomain() *davitv1.Domain {
	return &davitv1.Domain{
		Type:     davitv1.DomainType_DOMAIN_TYPE_LXC,
		Os:       &davitv1.Os{Type: "exe"},
		Features: &davitv1.Features{Capabilities: &davitv1.Capabilities{Policy: davitv1.CapabilityPolicy_CAPABILITY_POLICY_ALLOW}},
		Devices:  &davitv1.Devices{Emulator: domain.Emulator},
	}
}

// reading is a configuration on its way to a definition.
type reading struct {
	convert.Report
	options Options
	def     *davitv1.Domain
	origin  convert.Origin

	root    string // the root's folder, which targets of mounts may begin with
	hasRoot bool
	hostNet bool // the network is the host's
	hints   int  // words that were looked for among those that are known

	limits  map[string]setting // the settings of cgroups by the fields that they became
	targets map[string]int     // places of filesystems by what they are mounted on
	blkio   map[string]*davitv1.BlkioDevice
	nodes   map[string]bool // devices of the host by their paths
}

// take hands the settings to their keys, in the order of the table.
func (r *reading) take(settings []setting) {
	table := index()
	of := map[string][]setting{}
	for _, s := range settings {
		k, ok := table.find(s.key)
		if !ok {
			r.unknown(s, s.given, names)
			continue
		}
		of[k.Name] = append(of[k.Name], s)
	}
	for _, k := range Keys() {
		list := of[k.Name]
		switch {
		case len(list) == 0:
		case k.read != nil:
			k.read(r, list)
		default:
			for _, s := range list {
				r.warn(s, "%s", k.Why)
			}
		}
	}
}

// unknown tells of a key that LXC has not, or has since a version that is later than this.
func (r *reading) unknown(s setting, word string, known func() []string) {
	hint := r.near(word, known)
	if r.options.Strict {
		r.Fault(s.place(), "", "the key is not known%s", hint)
	} else {
		r.warn(s, "the key is not known and ignored%s", hint)
	}
}

// near is a word on what may have been meant. After many of them nobody reads it any more.
func (r *reading) near(word string, known func() []string) string {
	if r.hints++; r.hints > convert.MaxWarnings {
		return ""
	}
	if near := domain.Nearest(word, known()); len(near) > 0 {
		return "; the nearest is " + strings.Join(near, " or ")
	}
	return ""
}

// finish fills in what no setting has said.
func (r *reading) finish() {
	if r.def.Name == "" {
		r.def.Name = r.options.Name
		if r.def.Name == "" {
			r.def.Name = defaultName
		}
	}
	if r.def.Os.Init == "" {
		r.def.Os.Init = defaultInit
	}
	if !r.hasRoot && !r.Failed() {
		r.Warn(convert.Place{Name: "lxc.rootfs.path"}, "the configuration names no root; the domain sees the host's files, under a layer of its own")
	}
	r.limitMemory()
	if r.def.GetLxcNamespace().GetSharenet() != nil {
		r.dropNetworks()
	}
	if len(r.def.Devices.Interface) == 0 && len(r.def.Devices.Hostdev) == len(r.nodes) && !r.hostNet && r.def.GetLxcNamespace().GetSharenet() == nil {
		r.def.Features.Privnet = true
	}
}

func (r *reading) warn(s setting, format string, args ...any) {
	r.Warn(s.place(), format, args...)
}

func (r *reading) fault(s setting, value, format string, args ...any) {
	r.Fault(s.place(), value, format, args...)
}

// from says which setting a field of the definition comes from. Where a limit is spelt for both versions of cgroups, the one that
// does not count is told.
func (r *reading) from(field string, s setting) {
	if strings.HasPrefix(s.key, "lxc.cgroup") && field != "memory_kib" { // which is told of as memtune.hard_limit_kib
		r.spelt(field, s, s.value)
	}
	r.origin.Set(field, s.place(), s.value)
}

// spelt notes which setting a limit is of, with its value, and tells of one by another key that it replaces.
func (r *reading) spelt(limit string, s setting, value string) {
	if other, twice := r.limits[limit]; twice && other.key != s.key && other.value != value {
		r.warn(other, "%s says another value of this limit, %s, which counts", s.given, convert.Quote(value))
	}
	s.value = value
	r.limits[limit] = s
}

// number reads a whole number of at most limit.
func (r *reading) number(s setting, text string, limit uint64) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil || n > limit {
		r.fault(s, text, "is not a whole number from 0 to %d", limit)
		return 0, false
	}
	return n, true
}

// flag reads a setting that is 0 or 1.
func (r *reading) flag(s setting) (on, ok bool) {
	switch s.value {
	case "0":
		return false, true
	case "1":
		return true, true
	}
	r.fault(s, s.value, "is neither 0 nor 1")
	return false, false
}
