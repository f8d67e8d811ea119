package oci

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/convert"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// losses are why fields of a definition are not in a bundle, by their paths; of others OCI knows nothing.
func losses() map[string]string {
	return map[string]string{
		"uuid":                     "a bundle has no identity; its runtime gives it one",
		"title":                    "a bundle has no title",
		"description":              "a bundle has no description",
		"metadata":                 "a bundle has no XML of applications",
		"partition":                "a bundle names its own cgroup, and leaves the one above to its runtime",
		"os.arch":                  "a bundle is of the architecture of its root",
		"os.cmdline":               "a bundle has no kernel command line",
		"vcpu.count":               "the number of processors is shown by davit, and not limited",
		"on_poweroff":              "a runtime leaves what follows to its caller",
		"on_reboot":                "a runtime leaves what follows to its caller",
		"on_crash":                 "a runtime leaves what follows to its caller",
		"clock":                    "a bundle has the host's clock",
		"devices.interface[*]":     "a runtime leaves interfaces to its caller",
		"devices.disk[*]":          "a bundle has no disks",
		"devices.controller[*]":    "a bundle has no controllers",
		"devices.hostdev[*].ip":    "a runtime leaves addresses to its caller",
		"devices.hostdev[*].route": "a runtime leaves routes to its caller",
		"numatune":                 "a bundle knows strict placement of memory only",
	}
}

// leftOver tells of every field that is set, is not in the bundle, and is not what every domain has.
func (w *writing) leftOver() {
	usual := &davitv1.Domain{}
	domain.Normalize(usual)
	w.message(w.def.ProtoReflect(), usual.ProtoReflect(), "", "", losses())
}

// message tells of the fields of a message. The one of a usual definition may be invalid, and then holds nothing.
func (w *writing) message(m, usual protoreflect.Message, at, pattern string, losses map[string]string) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		field, general := below(at, string(fd.Name())), below(pattern, string(fd.Name()))
		if !m.Has(fd) || w.said[field] || usual.IsValid() && usual.Has(fd) && usual.Get(fd).Equal(m.Get(fd)) {
			continue
		}
		value := m.Get(fd)
		why, known := losses[general]
		switch {
		case known:
			w.Warn(convert.Place{Name: field}, "%s", why)
		case fd.IsList():
			for k := range value.List().Len() {
				w.value(fd, value.List().Get(k), protoreflect.Value{}, entry(field, k), general+"[*]", losses)
			}
		default:
			w.value(fd, value, usual.Get(fd), field, general, losses)
		}
	}
}

func (w *writing) value(fd protoreflect.FieldDescriptor, value, usual protoreflect.Value, field, pattern string, losses map[string]string) {
	why, known := losses[pattern] // of an entry of a list
	switch {
	case w.said[field]:
	case known:
		w.Warn(convert.Place{Name: field}, "%s", why)
	case fd.Message() == nil:
		w.Warn(convert.Place{Name: field}, "OCI has no word for it")
	case usual.IsValid():
		w.message(value.Message(), usual.Message(), field, pattern, losses)
	default:
		w.message(value.Message(), value.Message().Type().Zero(), field, pattern, losses)
	}
}
