package domain

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Validate refuses a definition that cannot be: every fault is a violation of one error with reason DEFINITION_INVALID.
// It takes normalised definitions with host defaults, and looks at nothing but the definition: whether a folder exists
// or a user is known shows at start.
func Validate(def *davitv1.Domain) error {
	if f := findFaults(def, ""); len(f.list) > 0 {
		return invalid(def, f)
	}
	return nil
}

// invalid is the error of the faults of a definition.
func invalid(def *davitv1.Domain, f faults) error {
	return &Error{
		Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID,
		Op: "validate domain", Subject: def.GetName(), Violations: f.violations(),
	}
}

// findFaults says what is wrong with a definition on a host of an architecture, or on none. It looks twice: whether there is
// anything at all, which is quick, and then for where and what, which has to spell the place of whatever it looks at.
func findFaults(def *davitv1.Domain, hostArch string) faults {
	first := &validator{counting: true}
	first.check(def, hostArch)
	if first.more == 0 {
		return faults{}
	}
	v := &validator{}
	v.check(def, hostArch)
	return v.faults
}

// check looks for all that is wrong.
func (v *validator) check(def *davitv1.Domain, hostArch string) {
	v.strings(domainSchema(), def.ProtoReflect(), nil)
	v.identity(def)
	v.memory(def)
	v.blkio(def.GetBlkiotune())
	v.processors(def)
	v.cputune(def.GetCputune())
	v.numatune(def.GetNumatune())
	v.pids(def.GetPidsLimit())
	v.fibreChannel(def.GetFibrechannelAppid())
	v.init(def.GetOs())
	v.arch(def.GetOs().GetArch(), hostArch)
	if p := def.GetPartition(); p != "" {
		v.partition(p)
	}
	if def.GetIdmap() != nil {
		v.idmap(def.GetIdmap())
	}
	v.clock(def.GetClock())
	v.lifecycle(def)
	v.restart(def.Restart)
	v.profile(def)
	v.devices(def.GetDevices())
	v.labels(def.GetSeclabel())
	v.namespaces(def)
}

// nilUUID is the UUID that stands for none (RFC 9562, 5.9).
const nilUUID = "00000000-0000-0000-0000-000000000000"

// validator collects the faults of a definition, or counts them only.
type validator struct {
	faults
	counting bool
	scanner  scanner // of elements that are kept
}

// fault tells what is wrong at a place of the model; the place in the XML follows from the schema.
func (v *validator) fault(field, format string, args ...any) {
	if v.quiet() {
		v.more++
		return
	}
	v.add(Violation{XMLPath: xmlPathOf(field), Field: field, Message: fmt.Sprintf(format, args...)})
}

// at is fault at a place.
func (v *validator) at(p *place, message string) {
	if v.quiet() {
		v.more++
		return
	}
	v.faults.at(p, message)
}

// quiet tells that of a further fault nothing is asked but that there is one: neither its place nor its message is made.
func (v *validator) quiet() bool { return v.counting || v.full() }

// entry is the place of a field of the i-th entry of a list, if places are asked for.
func (v *validator) entry(list string, i int, field string) string {
	if v.quiet() {
		return ""
	}
	return entry(list, i, field)
}

// entryOf is the place of the i-th entry of a list, if places are asked for.
func (v *validator) entryOf(list string, i int) string {
	if v.quiet() {
		return ""
	}
	return entryOf(list, i)
}

// entry is the place of a field of the i-th entry of a list.
func entry(list string, i int, field string) string {
	return entryOf(list, i) + "." + field
}

// strings refuses text that no notation can hold, and enum values and sizes that the schema does not know.
func (v *validator) strings(s *schema, m protoreflect.Message, at *place) {
	if at == nil {
		at = &place{xml: s.root.String()}
	}
	for _, f := range s.on[checkPass] {
		if !m.Has(f.desc) {
			continue
		}
		if !f.list {
			v.value(f, m.Get(f.desc), at, 0)
			continue
		}
		list := m.Get(f.desc).List()
		for i := range list.Len() {
			if f.keeps() {
				v.kept(f, list, i, at)
				continue
			}
			v.value(f, list.Get(i), at, i)
		}
	}
}

func (v *validator) value(f *field, value protoreflect.Value, at *place, i int) {
	switch {
	case f.message != nil:
		v.strings(f.message, value.Message(), at.of(f, i))
	case f.kind == protoreflect.StringKind:
		if message := textFault(value.String()); message != "" {
			v.at(at.of(f, i), message)
		} else if f.opts.GetRaw() {
			if message := metadataFault(value.String()); message != "" {
				v.at(at.of(f, i), message)
			}
		}
	case f.words != nil && f.words.byValue[value.Enum()] == "":
		v.at(at.of(f, i), fmt.Sprintf("%d is not one of %s", value.Enum(), strings.Join(f.words.list, ", ")))
	case f.opts.GetUnit() != 0 && value.Uint() > Unlimited:
		v.at(at.of(f, i), fmt.Sprintf("size %d is above %d", value.Uint(), uint64(Unlimited)))
	}
}

// kept refuses what is no element that a field keeps.
func (v *validator) kept(f *field, list protoreflect.List, i int, at *place) {
	where := &place{parent: at, field: f.name, entry: i + 1}
	if message := textFault(list.Get(i).String()); message != "" {
		v.at(where, message)
	} else if _, err := f.readKept(&v.scanner, list.Get(i).String()); err != nil {
		v.at(where, err.Error())
	}
}

// textFault says what in a string XML cannot hold.
func textFault(s string) string {
	if !utf8.ValidString(s) {
		return fmt.Sprintf("%s is not UTF-8", quote(s))
	}
	if i := strangeChar(s); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return fmt.Sprintf("%s contains the character %U, which XML cannot hold", quote(s), r)
	}
	return ""
}

func (v *validator) identity(def *davitv1.Domain) {
	if def.GetType() == davitv1.DomainType_DOMAIN_TYPE_UNSPECIFIED {
		v.fault("type", "a domain needs a type: lxc")
	}
	if message := nameFault(def.GetName()); message != "" {
		v.fault("name", "%s", message)
	}
	if def.GetUuid() != "" {
		switch uuid, err := ParseUUID(def.GetUuid()); {
		case err != nil:
			v.fault("uuid", "%s", err)
		case uuid == nilUUID:
			v.fault("uuid", "%s is the UUID of nothing", quote(def.GetUuid()))
		}
	}
	if strings.ContainsAny(def.GetTitle(), "\r\n") {
		v.fault("title", "a title has one line")
	}
}

func (v *validator) memory(def *davitv1.Domain) {
	switch memory := def.GetMemoryKib(); {
	case memory == 0:
		v.fault("memory_kib", "a domain needs memory, above 0")
	case memory >= Unlimited:
		v.fault("memory_kib", "memory has a limit, below %d KiB", uint64(Unlimited))
	}
	tune := def.GetMemtune()
	if hard, swap := tune.GetHardLimitKib(), tune.GetSwapHardLimitKib(); hard > 0 && swap > 0 && swap < hard {
		v.fault("memtune.swap_hard_limit_kib", "limit of memory and swap %d KiB is below the limit of memory %d KiB", swap, hard)
	} else if memory := def.GetMemoryKib(); hard == 0 && swap > 0 && swap < memory {
		v.fault("memtune.swap_hard_limit_kib", "limit of memory and swap %d KiB is below the memory %d KiB", swap, memory)
	}
}

func (v *validator) processors(def *davitv1.Domain) {
	cpu := def.GetVcpu()
	if cpu.GetCpuset() != "" {
		if _, err := ParseCpuset(cpu.GetCpuset()); err != nil {
			v.fault("vcpu.cpuset", "%s", err)
		}
	}
	if cpu != nil && cpu.GetCount() == 0 {
		v.fault("vcpu.count", "a domain needs a processor")
	}
	if cpu.GetCount() > MaxCPU {
		v.fault("vcpu.count", "%d processors are above %d", cpu.GetCount(), MaxCPU)
	}
	if cpu.GetCurrent() > max(cpu.GetCount(), 1) {
		v.fault("vcpu.current", "%d processors at start are above the %d that there are", cpu.GetCurrent(), cpu.GetCount())
	}
}

func (v *validator) partition(p string) {
	if message := pathFault(p); message != "" {
		v.fault("partition", "partition %s", message)
	} else if p != "/" && p != path.Clean(p) {
		v.fault("partition", "partition %s is not in its shortest form, %s", quote(p), quote(path.Clean(p)))
	}
}

// pathFault says why a path cannot be used: it is absolute, without "..", line ends and other control characters.
func pathFault(p string) string {
	switch {
	case !strings.HasPrefix(p, "/"):
		return quote(p) + " is not absolute"
	case len(p) > maxPath:
		return fmt.Sprintf("%s has %d bytes, %d are the limit", quote(p), len(p), maxPath)
	case strings.ContainsFunc(p, isControl):
		return quote(p) + " contains a control character"
	}
	for step := range strings.SplitSeq(p, "/") {
		switch {
		case step == "..":
			return fmt.Sprintf("%s contains %q", quote(p), "..")
		case len(step) > maxPathStep:
			return fmt.Sprintf("%s has a step of %d bytes, %d are the limit", quote(p), len(step), maxPathStep)
		}
	}
	return ""
}

// Limits of paths, Linux's.
const (
	maxPath     = 4095
	maxPathStep = 255
)

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }
