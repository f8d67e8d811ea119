package domain

import (
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// StateWord is a state in virsh's word: "running", "shut off".
func StateWord(s davitv1.DomainState) string {
	switch s {
	case davitv1.DomainState_DOMAIN_STATE_SHUTDOWN:
		return "in shutdown"
	case davitv1.DomainState_DOMAIN_STATE_SHUTOFF:
		return "shut off"
	case davitv1.DomainState_DOMAIN_STATE_UNSPECIFIED:
		return "no state"
	default:
		return enumWord(s.String(), "DOMAIN_STATE_")
	}
}

// ReasonWord is a reason in virsh's word, without its state: "booted", "starting up".
func ReasonWord(r davitv1.DomainReason) string {
	word := enumWord(r.String(), "DOMAIN_REASON_")
	if _, after, ok := strings.Cut(word, " "); ok {
		return after
	}
	return "unknown"
}

// EventWords are type and detail of a lifecycle event in virsh's words: "Started", "Booted".
func EventWords(e *davitv1.LifecycleEvent) (kind, detail string) {
	kind = capital(enumWord(e.GetType().String(), "LIFECYCLE_EVENT_TYPE_"))
	word := enumWord(e.GetDetail().String(), "LIFECYCLE_EVENT_DETAIL_")
	_, after, ok := strings.Cut(word, " ")
	if !ok {
		return kind, "Unknown"
	}
	return kind, capital(after)
}

// enumWord is the name of an enum value as words.
func enumWord(name, prefix string) string {
	name, _ = strings.CutPrefix(name, prefix)
	return strings.ReplaceAll(strings.ToLower(name), "_", " ")
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
