package domain

import (
	"slices"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// prose are the fields that people and applications write about a domain: UpdateDomain changes them at any time.
var prose = []string{"title", "description", "metadata"}

// identity are the fields that make a domain the one that it is, with what to do instead of changing them.
var identity = map[string]string{
	"type": "undefine this domain and define that one",
	"name": "domrename gives a domain another name while it is shut off",
	"uuid": "undefine this domain and define that one, or give that one another name",
}

// EffectOf tells what a change of a field comes down to on every host, and why; the reason may be empty. The field is a path
// in Domain, with the places of entries or without: devices.filesystem[0].readonly. What is below a field that can be
// changed live, or on which nothing acts, is as that one. An unknown field has no effect that is known.
func EffectOf(path string) (davitv1.ChangeEffect, string) {
	s := domainSchema()
	var names []string
	effect := davitv1.ChangeEffect_CHANGE_EFFECT_NEXT_BOOT
	reason := ""
	for step := range strings.SplitSeq(path, ".") {
		name, _, _ := strings.Cut(step, "[")
		if s == nil || s.byName[name] == nil {
			return davitv1.ChangeEffect_CHANGE_EFFECT_UNSPECIFIED, ""
		}
		f := s.byName[name]
		names = append(names, name)
		if own, why := f.effect(strings.Join(names, ".")); own != davitv1.ChangeEffect_CHANGE_EFFECT_UNSPECIFIED {
			effect, reason = own, why
			if !isHot(strings.Join(names, ".")) { // below that there may be what nothing acts on
				break
			}
		}
		s = f.message
	}
	if effect == davitv1.ChangeEffect_CHANGE_EFFECT_NEXT_BOOT && isPluggable(strings.Join(names, ".")) {
		effect = davitv1.ChangeEffect_CHANGE_EFFECT_LIVE // a device as a whole
	}
	return effect, reason
}

// effect is what a field says of itself and all that is below it, if it says anything.
func (f *field) effect(path string) (davitv1.ChangeEffect, string) {
	tunable, tunes := ParseTunable(path)
	switch {
	case identity[path] != "":
		return davitv1.ChangeEffect_CHANGE_EFFECT_REDEFINE, identity[path]
	case f.opts.GetNotHonoured() != "":
		return davitv1.ChangeEffect_CHANGE_EFFECT_NONE, f.opts.GetNotHonoured()
	case f.keeps():
		return davitv1.ChangeEffect_CHANGE_EFFECT_NONE, notKept
	case f.opts.GetLive():
		return davitv1.ChangeEffect_CHANGE_EFFECT_NONE, "a running domain has it of itself"
	case tunes && !tunable.Live():
		return davitv1.ChangeEffect_CHANGE_EFFECT_NEXT_BOOT, "a running domain keeps what it was started with"
	case tunes, slices.Contains(prose, path), isHot(path):
		return davitv1.ChangeEffect_CHANGE_EFFECT_LIVE, ""
	}
	return davitv1.ChangeEffect_CHANGE_EFFECT_UNSPECIFIED, ""
}
