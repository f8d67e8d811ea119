package lxctools

import (
	"slices"
	"strings"
)

// Key is what is done with a key of the configuration, or with all keys below one: "lxc.prlimit.*".
type Key struct {
	// Name in the spelling of LXC 2.1 and later.
	Name string
	// Old is the spelling before, where there was another.
	Old string
	// List says that every setting of the key counts, and not the last alone.
	List bool
	// Becomes says what it is converted to. Empty: it is not carried over.
	Becomes string
	// Why says why it, or a part of it, is not carried over.
	Why string

	read func(*reading, []setting) // nil: each setting is told of with Why
}

// Keys are all keys of LXC, in the order in which they act.
func Keys() []Key {
	return slices.Concat(
		identityKeys(), limitKeys(), rootKeys(), mountKeys(), networkKeys(), idmapKeys(), rightKeys(), initKeys(), terminalKeys(), otherKeys(),
	)
}

// keyIndex finds keys by their names.
type keyIndex struct {
	exact    map[string]Key
	families []Key // whose names end in "*", the longest first
}

func index() keyIndex {
	t := keyIndex{exact: map[string]Key{}}
	for _, k := range Keys() {
		if strings.HasSuffix(k.Name, "*") {
			t.families = append(t.families, k)
		} else {
			t.exact[k.Name] = k
		}
	}
	slices.SortStableFunc(t.families, func(a, b Key) int { return len(b.Name) - len(a.Name) })
	return t
}

// find is the key of a name, or the one that stands for all below it.
func (t keyIndex) find(name string) (Key, bool) {
	if k, ok := t.exact[name]; ok {
		return k, true
	}
	for _, k := range t.families {
		if prefix := strings.TrimSuffix(k.Name, "*"); len(name) > len(prefix) && strings.HasPrefix(name, prefix) {
			return k, true
		}
	}
	return Key{}, false
}

// names are the keys in both spellings, for whoever looks for a near one.
func names() []string {
	var all []string
	for _, k := range Keys() {
		for _, name := range []string{k.Name, k.Old} {
			if name != "" {
				all = append(all, strings.TrimSuffix(name, ".*"))
			}
		}
	}
	return all
}

func identityKeys() []Key {
	return []Key{
		{Name: "lxc.uts.name", Old: "lxc.utsname", Becomes: "name", read: (*reading).utsName},
		{Name: "lxc.arch", Becomes: "os.arch, in libvirt's words", read: (*reading).arch},
	}
}

func (r *reading) utsName(list []setting) {
	r.def.Name = list[0].value
	r.from("name", list[0])
}

// archs are libvirt's words for architectures by LXC's; what is in neither row is its own.
func archs() map[string]string {
	return map[string]string{
		"linux32": "i686", "i386": "i686", "i486": "i686", "i586": "i686", "i686": "i686", "x86": "i686", "athlon": "i686", "x86_32": "i686",
		"linux64": "x86_64", "amd64": "x86_64", "x86_64": "x86_64",
		"arm64": "aarch64", "aarch64": "aarch64",
		"arm": "armv7l", "armel": "armv7l", "armhf": "armv7l", "armv7": "armv7l", "armv7l": "armv7l", "armv7a": "armv7l",
		"ppc64le": "ppc64le", "ppc64el": "ppc64le", "powerpc": "ppc", "ppc": "ppc", "ppc64": "ppc64", "s390x": "s390x", "s390": "s390",
		"mips": "mips", "mipsel": "mipsel", "mips64": "mips64", "mips64el": "mips64el", "riscv64": "riscv64", "loongarch64": "loongarch64",
	}
}

func (r *reading) arch(list []setting) {
	word, ok := archs()[strings.ToLower(list[0].value)]
	if !ok {
		r.fault(list[0], list[0].value, "is not an architecture: x86_64, x86, arm64, armhf and others of the kernel's names")
		return
	}
	r.def.Os.Arch = word
	r.from("os.arch", list[0])
}
