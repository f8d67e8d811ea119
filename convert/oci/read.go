package oci

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/davitd/davit/convert"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Options say what a conversion may draw on.
type Options struct {
	// Bundle is the absolute path of the bundle's folder, from which the paths in it count. Empty: the folder of the file.
	Bundle string
	// Name of the domain where the bundle has no hostname. Empty: the last step of Bundle.
	Name string
	// Root opens the bundle's root, a folder of the host, to look for a program that is given without a path; it may give nil. Nil:
	// such a program is left to /usr/bin/env.
	Root func(folder string) fs.FS
	// Device finds the number of a device of the host, for Write, which needs it. Nil: devices are not carried over.
	Device func(path string) (major, minor int64, err error)
}

// What a domain gets where a bundle does not say.
const (
	defaultMemoryKiB = 1 << 20
)

// Read reads the config.json of a bundle; name is its file's, for places in what is told. The definition is normalised and valid;
// it has no uuid, which is made up when it is defined. The error is a *[convert.Error].
func Read(name string, text []byte, o Options) (*davitv1.Domain, []convert.Warning, error) {
	if o.Bundle == "" {
		o.Bundle = path.Dir(name)
	}
	r := &reading{
		options: o, file: name, origin: convert.Origin{}, spec: &specs.Spec{}, index: map[string]*node{}, targets: map[string]int{}, blkio: map[string]*davitv1.BlkioDevice{},
		def: &davitv1.Domain{
			Type: davitv1.DomainType_DOMAIN_TYPE_LXC,
			Os:   &davitv1.Os{Type: "exe"}, Features: &davitv1.Features{}, Devices: &davitv1.Devices{Emulator: domain.Emulator},
		},
	}
	r.read(text)
	if err := r.Err("read OCI bundle"); err != nil {
		return nil, r.Warnings(), err
	}
	return r.def, r.Warnings(), nil
}

// reading is a bundle on its way to a definition.
type reading struct {
	convert.Report
	options Options
	file    string
	root    *node
	index   map[string]*node // values by their paths
	spec    *specs.Spec
	def     *davitv1.Domain
	origin  convert.Origin

	targets map[string]int // places of filesystems by what they are mounted on
	blkio   map[string]*davitv1.BlkioDevice
}

func (r *reading) read(text []byte) {
	r.File(r.file)
	root, line, err := scan(text)
	if err != nil {
		r.Fault(convert.Place{File: r.file, Line: line}, "", "%s", err)
		return
	}
	r.root = root
	f := &filler{report: &r.Report, file: r.file, types: map[reflect.Type]map[string][]int{}}
	f.fill(root, reflect.ValueOf(r.spec).Elem(), "")
	if r.Failed() {
		return
	}
	r.enter(root, "", mapPaths())
	r.version()
	r.identity()
	if p := r.spec.Process; p != nil {
		r.process(p)
	} else {
		r.fault("process", "", "is missing: a domain runs a program")
	}
	if r.spec.Linux == nil {
		r.spec.Linux = &specs.Linux{}
	}
	r.resources(r.spec.Linux.Resources)
	r.rootFolder()
	r.mounts()
	r.namespaces()
	r.linux(r.spec.Linux)
	r.devices(r.spec.Linux)
	root.mark()
	r.leftOver(root, "", "", reasons())
	convert.Complete(r.def, &r.Report, r.origin)
}

// enter notes the paths of all values that OCI knows.
func (r *reading) enter(n *node, at string, maps map[string]bool) {
	r.index[at] = n
	for _, m := range n.members {
		switch {
		case m.value.unknown:
		case maps[at]:
			r.enter(m.value, entryName(at, m.name), maps)
		default:
			r.enter(m.value, below(at, m.name), maps)
		}
	}
	for i, item := range n.items {
		r.enter(item, entry(at, i), maps)
	}
}

// mapPaths are the objects whose names are the document's own.
func mapPaths() map[string]bool {
	return map[string]bool{
		"annotations": true, "linux.sysctl": true, "linux.netDevices": true, "linux.timeOffsets": true, "linux.resources.unified": true,
		"linux.resources.rdma": true,
	}
}

// carry says that a value is in the definition, or that what is lost of it has been told.
func (r *reading) carry(path string) {
	if n := r.index[path]; n != nil {
		n.carried = true
	}
}

// to says so, and which field it became.
func (r *reading) to(path, field string) {
	n := r.index[path]
	if n == nil {
		return
	}
	n.carried = true
	r.origin.Set(field, r.place(path), n.text)
}

func (r *reading) place(path string) convert.Place {
	p := convert.Place{File: r.file, Name: path}
	if n := r.index[path]; n != nil {
		p.Line = n.line
	}
	return p
}

func (r *reading) warn(path, format string, args ...any) { r.Warn(r.place(path), format, args...) }

func (r *reading) fault(path, value, format string, args ...any) {
	r.Fault(r.place(path), value, format, args...)
}

// leftOver tells of every value that nothing has been made of. Where a reason is known for a whole object, it is told once.
func (r *reading) leftOver(n *node, at, pattern string, reasons map[string]string) {
	place := convert.Place{File: r.file, Line: n.line, Name: at}
	if n.unknown {
		hint := ""
		if n.near != "" {
			hint = "; the nearest is " + n.near
		}
		r.Warn(place, "OCI has no such field, and it is ignored%s", hint)
		return
	}
	if why := reasons[pattern]; why != "" && !n.carried {
		r.Warn(place, "%s", why)
		return
	}
	speaks := func(of *node) bool {
		of.carried = of.carried || n.carried
		return of.odd || !of.carried && of.says()
	}
	for _, m := range n.members {
		switch {
		case !speaks(m.value):
		case r.Full(): // nobody reads where it stands
			r.leftOver(m.value, "", "", reasons)
		default:
			r.leftOver(m.value, below(at, m.name), below(pattern, m.name), reasons)
		}
	}
	for i, item := range n.items {
		if speaks(item) {
			r.leftOver(item, entry(at, i), pattern+"[*]", reasons)
		}
	}
	if n.kind != isObject && n.kind != isList && !n.carried {
		r.Warn(place, "it is not carried over")
	}
}

func (r *reading) version() {
	major, _, _ := strings.Cut(r.spec.Version, ".")
	switch {
	case r.spec.Version == "":
		r.fault("ociVersion", "", "is missing: a bundle says of which version it is, 1.x")
	case major != "1":
		r.fault("ociVersion", r.spec.Version, "is not a version that is read: 1.x")
	}
	r.carry("ociVersion")
}

func (r *reading) identity() {
	r.def.Name = r.spec.Hostname
	r.to("hostname", "name")
	if r.def.Name != "" {
		return
	}
	if r.def.Name = r.options.Name; r.def.Name == "" {
		r.def.Name = path.Base(r.options.Bundle)
	}
}

// absolute is a path of the bundle as one of the host.
func (r *reading) absolute(p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join(r.options.Bundle, p)
}

func (r *reading) rootFolder() {
	root := r.spec.Root
	if root == nil || root.Path == "" {
		r.warn("root", "the bundle has no root; the domain sees the host's files, under a layer of its own")
		return
	}
	r.to("root.path", "devices.filesystem[0].source_dir")
	r.carry("root.readonly")
	r.filesystem("root", &davitv1.Filesystem{
		Type: davitv1.FilesystemType_FILESYSTEM_TYPE_MOUNT, SourceDir: r.absolute(root.Path), TargetDir: "/", Readonly: root.Readonly,
	})
}

// filesystem adds a filesystem. One that another is mounted over is not seen.
func (r *reading) filesystem(from string, f *davitv1.Filesystem) {
	list := r.def.Devices.Filesystem
	target := path.Clean(f.TargetDir)
	if i, ok := r.targets[target]; ok {
		r.warn(from, "it is mounted over an earlier one at %q, which nobody would see; the earlier one is left out", target)
		list[i] = f
		return
	}
	r.targets[target] = len(list)
	r.origin.Set(entry("devices.filesystem", len(list)), r.place(from), "")
	r.def.Devices.Filesystem = append(list, f)
}

func (r *reading) linux(l *specs.Linux) {
	r.def.Idmap = r.idmap(l)
	if p := l.Personality; p != nil && p.Domain == specs.PerLinux32 {
		r.def.Os.Arch = "i686"
	}
	r.carry("linux.personality.domain")
	for i, p := range l.MaskedPaths {
		if slices.Contains(domain.MaskedPaths(), p) {
			r.carry(entry("linux.maskedPaths", i))
		}
	}
	for i, p := range l.ReadonlyPaths {
		if slices.Contains(domain.ReadOnlyPaths(), p) || slices.Contains(domain.MaskedPaths(), p) {
			r.carry(entry("linux.readonlyPaths", i))
		}
	}
}

func (r *reading) idmap(l *specs.Linux) *davitv1.IdMap {
	r.origin.Set("idmap", r.place("linux.uidMappings"), "")
	m := &davitv1.IdMap{
		Uid: r.ranges("linux.uidMappings", "idmap.uid", l.UIDMappings), Gid: r.ranges("linux.gidMappings", "idmap.gid", l.GIDMappings),
	}
	if len(m.Uid) == 0 && len(m.Gid) == 0 {
		return nil
	}
	return m
}

// ranges are the lines of one map, in the order that [domain.Normalize] gives them.
func (r *reading) ranges(from, to string, list []specs.LinuxIDMapping) []*davitv1.IdRange {
	r.carry(from)
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(list[a].ContainerID, list[b].ContainerID) })
	all := make([]*davitv1.IdRange, 0, len(list))
	for i, k := range order {
		m := list[k]
		all = append(all, &davitv1.IdRange{Start: &m.ContainerID, Target: &m.HostID, Count: &m.Size})
		r.origin.Set(entry(to, i), r.place(entry(from, k)), "")
	}
	return all
}

// namespaces reads which are the domain's own, and those of others.
func (r *reading) namespaces() {
	for i, n := range r.spec.Linux.Namespaces {
		at := entry("linux.namespaces", i)
		if n.Path == "" {
			if n.Type == specs.NetworkNamespace {
				r.def.Features.Privnet = true
			}
			if n.Type != specs.TimeNamespace && (n.Type != specs.UserNamespace || len(r.spec.Linux.UIDMappings) > 0) {
				r.carry(at)
			}
			continue
		}
		kind := map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "net", specs.IPCNamespace: "ipc", specs.UTSNamespace: "uts"}[n.Type]
		share, ok := convert.SharedNamespace(n.Path, kind)
		if kind == "" || !ok {
			continue // told of as left over
		}
		r.share(kind, share)
		r.to(at, "lxc_namespace.share"+kind)
	}
	has := func(t specs.LinuxNamespaceType) bool {
		return slices.ContainsFunc(r.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == t })
	}
	for _, own := range ownNamespaces() {
		if !has(own) && own != specs.CgroupNamespace {
			r.warn("linux.namespaces", "the bundle shares the host's namespace of type %s; a domain has one of its own", own)
		}
	}
}

func (r *reading) share(kind string, share *davitv1.LxcNamespaceShare) {
	if r.def.LxcNamespace == nil {
		r.def.LxcNamespace = &davitv1.LxcNamespace{}
	}
	switch n := r.def.LxcNamespace; kind {
	case "net":
		n.Sharenet = share
	case "ipc":
		n.Shareipc = share
	case "uts":
		n.Shareuts = share
	}
}

// id is a user or group other than root.
func id(n uint32) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(n), 10)
}

// number is how block devices are known by their numbers: udev links them there.
func number(d specs.LinuxBlockIODevice) string { return fmt.Sprintf("%d:%d", d.Major, d.Minor) }
