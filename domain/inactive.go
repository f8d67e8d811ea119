package domain

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// generatedPrefixes begin the names that libvirt and davit make up for the host ends of interfaces.
var generatedPrefixes = []string{"vnet", "macvtap", "macvlan"}

func isGenerated(dev string) bool {
	return slices.ContainsFunc(generatedPrefixes, func(p string) bool { return strings.HasPrefix(dev, p) })
}

// withoutGenerated leaves out made-up names of interfaces; def itself is not changed.
func withoutGenerated(def *davitv1.Domain) *davitv1.Domain {
	if !slices.ContainsFunc(def.GetDevices().GetInterface(), func(i *davitv1.Interface) bool { return isGenerated(i.GetTargetDev()) }) {
		return def
	}
	def = proto.CloneOf(def)
	for _, i := range def.GetDevices().GetInterface() {
		if isGenerated(i.GetTargetDev()) {
			i.TargetDev = ""
		}
	}
	return def
}

// Inactive removes from def what belongs to a running domain, as libvirt does when a document is defined: whatever it
// says about the number, aliases, terminals and made-up names of interfaces is not the author's to say.
func Inactive(def *davitv1.Domain) {
	clearLive(domainSchema(), def.ProtoReflect())
	for _, i := range def.GetDevices().GetInterface() {
		if isGenerated(i.GetTargetDev()) {
			i.TargetDev = ""
		}
	}
}

func clearLive(s *schema, m protoreflect.Message) {
	for _, f := range s.on[livePass] {
		if f.opts.GetLive() {
			m.Clear(f.desc)
		}
		f.eachMessage(m, func(sub protoreflect.Message) { clearLive(f.message, sub) })
	}
}
