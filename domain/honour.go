package domain

import (
	"cmp"
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// NotHonoured tells what of a definition is kept but not acted on, each with its place and the reason. The schema names
// most of it; the rest are values of fields that are honoured otherwise.
func NotHonoured(def *davitv1.Domain) []*davitv1.Warning {
	h := &honesty{}
	s := domainSchema()
	h.message(s, def.ProtoReflect(), &place{xml: s.root.String()})
	h.actions(def)
	for i, f := range def.GetDevices().GetFilesystem() {
		h.filesystem(i, f)
	}
	if offset := def.GetClock().GetOffset(); offset > davitv1.ClockOffset_CLOCK_OFFSET_UTC {
		h.warn("clock.offset", "containers have the host's clock")
	}
	for i, l := range def.GetSeclabel() {
		h.label(i, l)
	}
	for i, t := range def.GetClock().GetTimer() {
		h.timer(i, t)
	}
	if def.GetNumatune().GetPlacement() == davitv1.NumaPlacement_NUMA_PLACEMENT_AUTO {
		h.warn("numatune.placement", "no service chooses memory nodes; the host's kernel does")
	}
	if def.GetVcpu().GetPlacement() == davitv1.VcpuPlacement_VCPU_PLACEMENT_AUTO {
		h.warn("vcpu.placement", "no service places processors; auto is treated as static")
	}
	if h.more > 0 {
		h.list = append(h.list, &davitv1.Warning{XmlPath: "/" + s.root.String(), Message: fmt.Sprintf("and %d more", h.more)})
	}
	return h.list
}

// maxWarnings is how many things that are not honoured are told.
const maxWarnings = 64

type honesty struct {
	list []*davitv1.Warning
	more int // beyond those that are told
}

func (h *honesty) add(xmlPath, field, message string) {
	if len(h.list) >= maxWarnings {
		h.more++
		return
	}
	h.list = append(h.list, &davitv1.Warning{XmlPath: xmlPath, Field: field, Message: message})
}

func (h *honesty) at(p *place, message string) {
	if len(h.list) >= maxWarnings {
		h.more++
		return
	}
	h.add(p.xmlPath(), p.fieldPath(), message)
}

func (h *honesty) warn(field, message string) { h.add(xmlPathOf(field), field, message) }

// message tells of the fields that the schema says are not honoured.
func (h *honesty) message(s *schema, m protoreflect.Message, at *place) {
	for _, f := range s.on[honestPass] {
		if !m.Has(f.desc) {
			continue
		}
		if f.keeps() {
			h.kept(f, m.Get(f.desc).List(), at)
			continue
		}
		if !f.list {
			h.value(f, m.Get(f.desc), at, 0)
			continue
		}
		list := m.Get(f.desc).List()
		for i := range list.Len() {
			h.value(f, list.Get(i), at, i)
		}
	}
}

func (h *honesty) value(f *field, v protoreflect.Value, at *place, i int) {
	where := at.of(f, i)
	asked := f.kind != protoreflect.BoolKind || v.Bool()
	if why := f.opts.GetNotHonoured(); why != "" && asked {
		h.at(where, why)
	}
	if f.message != nil {
		h.message(f.message, v.Message(), where)
	}
}

// kept tells of elements that only other drivers act on.
func (h *honesty) kept(f *field, list protoreflect.List, at *place) {
	told := at.keptPlaces(f, list, maxWarnings-len(h.list))
	for _, where := range told {
		h.at(where, notKept)
	}
	h.more += list.Len() - len(told)
}

// actions tells of libvirt's lifecycle actions that are treated as others.
func (h *honesty) actions(def *davitv1.Domain) {
	for _, on := range []struct {
		field  string
		action davitv1.LifecycleAction
	}{{"on_poweroff", def.GetOnPoweroff()}, {"on_reboot", def.GetOnReboot()}, {"on_crash", def.GetOnCrash()}} {
		switch on.action {
		case davitv1.LifecycleAction_LIFECYCLE_ACTION_PRESERVE:
			h.warn(on.field, "nothing of a dead container can be preserved; preserve is treated as destroy")
		case davitv1.LifecycleAction_LIFECYCLE_ACTION_RENAME_RESTART:
			h.warn(on.field, "a domain keeps its name; rename-restart is treated as restart")
		case davitv1.LifecycleAction_LIFECYCLE_ACTION_COREDUMP_DESTROY:
			h.warn(on.field, "the memory of a container is not dumped; coredump-destroy is treated as destroy")
		case davitv1.LifecycleAction_LIFECYCLE_ACTION_COREDUMP_RESTART:
			h.warn(on.field, "the memory of a container is not dumped; coredump-restart is treated as restart")
		default:
		}
	}
}

// timer tells of timers that are none of a container, unless the definition says that it has none.
func (h *honesty) timer(i int, t *davitv1.Timer) {
	switch t.GetName() {
	case davitv1.TimerName_TIMER_NAME_RTC, davitv1.TimerName_TIMER_NAME_HPET:
	default:
		if t.Present == nil || t.GetPresent() {
			h.warn(entry("clock.timer", i, "name"), "only rtc and hpet are devices that a container can have; it sees the host's other clocks")
		}
	}
}

// label tells of security labels that no process gets.
func (h *honesty) label(i int, l *davitv1.SecurityLabel) {
	const static, none = davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_STATIC, davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_NONE
	switch {
	case l.GetType() == none:
	case l.GetModel() != "apparmor" && l.GetModel() != "selinux":
		h.warn(entry("seclabel", i, "model"), "processes are labelled by apparmor and selinux")
	case l.GetType() != static:
		h.warn(entry("seclabel", i, "type"), "no labels are made; one that the definition gives, of type static, is that of the domain's processes")
	case l.GetRelabel():
		h.warn(entry("seclabel", i, "relabel"), "files keep the labels that they have")
	}
}

func (h *honesty) filesystem(i int, f *davitv1.Filesystem) {
	switch f.GetType() {
	case davitv1.FilesystemType_FILESYSTEM_TYPE_TEMPLATE:
		h.warn(entry("devices.filesystem", i, "type"), "templates are not supported; the domain cannot start")
	case davitv1.FilesystemType_FILESYSTEM_TYPE_VOLUME:
		h.warn(entry("devices.filesystem", i, "type"), "storage volumes are not supported; the domain cannot start")
	default:
	}
	if f.GetAccessmode() == davitv1.FilesystemAccessMode_FILESYSTEM_ACCESS_MODE_SQUASH {
		h.warn(entry("devices.filesystem", i, "accessmode"), "the kernel cannot show all ids as one; the domain cannot start")
	}
}

// leastMemory is below what any program takes to start in a container, the kernel's own memory for it included.
const leastMemory = 1024

// senseless tells of what a definition may say and no domain can run with.
func senseless(def *davitv1.Domain) []*davitv1.Warning {
	field, limit := "memory_kib", cmp.Or(def.GetMemtune().GetHardLimitKib(), def.GetCurrentMemoryKib(), def.GetMemoryKib())
	switch limit {
	case def.GetMemtune().GetHardLimitKib():
		field = "memtune.hard_limit_kib"
	case def.GetMemoryKib():
	default:
		field = "current_memory_kib"
	}
	if limit >= leastMemory {
		return nil
	}
	return []*davitv1.Warning{{
		XmlPath: xmlPathOf(field), Field: field,
		Message: fmt.Sprintf("no program can be started with %d KiB; a number without a unit is in KiB", limit),
	}}
}

// arch32 are the 32-bit architectures by the 64-bit one that runs their programs.
var arch32 = map[string]string{"i686": "x86_64", "armv7l": "aarch64"}

// personality tells that a domain of a 32-bit architecture sees the host's.
func personality(def *davitv1.Domain, host string) []*davitv1.Warning {
	arch := def.GetOs().GetArch()
	if host == "" || arch32[arch] != host {
		return nil
	}
	return []*davitv1.Warning{{
		XmlPath: xmlPathOf("os.arch"), Field: "os.arch",
		Message: fmt.Sprintf("programs of %s run, but see the architecture of the host, %s", arch, host),
	}}
}
