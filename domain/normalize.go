package domain

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Normalize brings a definition into libvirt's canonical form: what a document may leave open is filled in, values that
// can be written in several ways are written in one, lists that have no order of their own are sorted, and what is empty
// is dropped. It does so without regard to the host, and again it changes nothing. Values that it cannot read it
// leaves to [Validate].
func Normalize(def *davitv1.Domain) {
	complete(def)
	arrange(def)
}

// complete is Normalize but for the order of lists, so that faults found afterwards have the document's own numbering.
func complete(def *davitv1.Domain) {
	completeMemory(def)
	completeVcpu(def)
	if def.Clock == nil {
		def.Clock = &davitv1.Clock{}
	}
	completeClock(def.GetClock())
	if def.GetBlkiotune() != nil {
		completeBlkio(def.GetBlkiotune())
	}
	if def.GetNumatune() != nil {
		completeNuma(def)
	}
	if uuid, err := ParseUUID(strings.TrimSpace(def.GetUuid())); err == nil {
		def.Uuid = uuid
	}
	dropEmptyCapabilities(def)
	if d := def.GetDevices(); d != nil {
		completeDevices(d)
	}
	for _, l := range def.GetSeclabel() {
		completeSecurityLabel(l)
	}
	if def.GetMetadata() != "" {
		if nodes, err := readMetadata(def.GetMetadata()); err == nil {
			def.Metadata = dumpMetadata(nodes, 0)
		}
	}
	eachKept(domainSchema(), def.ProtoReflect(), completeKept)
	preset(domainSchema(), def.ProtoReflect())
	prune(domainSchema(), def.ProtoReflect())
}

// arrange sorts the lists whose order means nothing.
func arrange(def *davitv1.Domain) {
	byStart := func(a, b *davitv1.IdRange) int { return cmp.Compare(a.GetStart(), b.GetStart()) }
	slices.SortStableFunc(def.GetIdmap().GetUid(), byStart)
	slices.SortStableFunc(def.GetIdmap().GetGid(), byStart)
	if def.GetDevices() != nil {
		arrangeDisks(def.GetDevices())
	}
	eachKept(domainSchema(), def.ProtoReflect(), arrangeKept)
}

func completeMemory(def *davitv1.Domain) {
	if def.GetCurrentMemoryKib() == 0 || def.GetCurrentMemoryKib() > def.GetMemoryKib() {
		def.CurrentMemoryKib = def.GetMemoryKib()
	}
	tune := def.GetMemtune()
	if tune == nil {
		return
	}
	for _, limit := range []*uint64{&tune.HardLimitKib, &tune.SoftLimitKib, &tune.MinGuaranteeKib, &tune.SwapHardLimitKib} {
		if *limit >= Unlimited {
			*limit = 0
		}
	}
}

func completeVcpu(def *davitv1.Domain) {
	if def.Vcpu == nil {
		def.Vcpu = &davitv1.Vcpu{}
	}
	v := def.Vcpu
	if v.GetCurrent() == max(v.GetCount(), 1) {
		v.Current = 0
	}
	if set, err := ParseCpuset(v.GetCpuset()); err == nil && v.GetCpuset() != "" {
		v.Cpuset = set.String()
	}
}

// dropEmptyCapabilities drops the element that changes nothing, and on its own says no more than its absence.
func dropEmptyCapabilities(def *davitv1.Domain) {
	c := def.GetFeatures().GetCapabilities()
	if c == nil || c.GetPolicy() > davitv1.CapabilityPolicy_CAPABILITY_POLICY_DEFAULT {
		return
	}
	set := false
	c.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		set = set || fd.Kind() == protoreflect.BoolKind
		return !set
	})
	if !set {
		def.Features.Capabilities = nil
	}
}

// completeSecurityLabel says whether files are labelled, which libvirt always writes for a label that is one.
func completeSecurityLabel(l *davitv1.SecurityLabel) {
	switch l.GetType() {
	case davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_NONE:
		l.Relabel = nil
		return
	case davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_UNSPECIFIED:
		l.Type = davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_DYNAMIC
	default:
	}
	if l.Relabel == nil {
		dynamic := l.GetType() == davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_DYNAMIC
		l.Relabel = &dynamic
	}
}

// preset gives each field that is not set the value that the schema names, in every message that is there.
func preset(s *schema, m protoreflect.Message) {
	for _, f := range s.on[presetPass] {
		if f.hasPre && !m.Has(f.desc) {
			m.Set(f.desc, f.preset)
		}
		f.eachMessage(m, func(sub protoreflect.Message) { preset(f.message, sub) })
	}
}

// prune drops messages that are there and empty.
func prune(s *schema, m protoreflect.Message) {
	for _, f := range s.on[prunePass] {
		f.eachMessage(m, func(sub protoreflect.Message) {
			prune(f.message, sub)
			if !f.list && f.message.isEmpty(sub) {
				m.Clear(f.desc)
			}
		})
	}
}

// isEmpty tells whether a message has no field.
func (s *schema) isEmpty(m protoreflect.Message) bool {
	return !slices.ContainsFunc(s.fields, func(f *field) bool { return m.Has(f.desc) })
}
