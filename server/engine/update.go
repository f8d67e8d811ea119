package engine

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// UpdateDomain changes what people wrote about a domain (title, description, metadata, autostart) and what it may use.
func (e *Engine) UpdateDomain(ctx context.Context, q *davitv1.UpdateDomainRequest) (*davitv1.UpdateDomainResponse, error) {
	if err := checkUpdate(q); err != nil {
		return nil, err
	}
	return once(ctx, e, q, func(ctx context.Context) (*davitv1.UpdateDomainResponse, error) {
		return act(ctx, e, q.GetDomain(), "update domain", func(ctx context.Context, a *actor) (*davitv1.UpdateDomainResponse, error) {
			position, err := a.update(ctx, q)
			if err != nil {
				return nil, err
			}
			return &davitv1.UpdateDomainResponse{Domain: a.current.Load().info(), Position: position}, nil
		})
	})
}

// The fields of an update mask.
const (
	maskTitle       = "title"
	maskDescription = "description"
	maskMetadata    = "metadata"
	maskAutostart   = "autostart"
)

// checkUpdate refuses an update that no domain could be given.
func checkUpdate(q *davitv1.UpdateDomainRequest) error {
	paths := q.GetUpdateMask().GetPaths()
	if len(paths) == 0 {
		return invalid("update_mask", "name at least one field: title, description, metadata, autostart, or a limit")
	}
	for _, path := range paths {
		switch path {
		case maskTitle, maskDescription, maskMetadata, maskAutostart:
		default:
			if _, known := domain.ParseTunable(path); !known {
				return invalid("update_mask", "%q cannot be changed; %s can", path, strings.Join(maskable(), ", "))
			}
		}
	}
	if err := knownAffect(q.GetAffect()); err != nil {
		return err
	}
	if strings.ContainsAny(q.GetTitle(), "\n\r") {
		return invalid("title", "it must be one line")
	}
	return nil
}

// knownAffect refuses scopes that there are not.
func knownAffect(affect davitv1.Affect) error {
	if _, ok := davitv1.Affect_name[int32(affect)]; !ok {
		return invalid("affect", "%d is not known", affect)
	}
	return nil
}

// maskable are the fields that a mask may name.
func maskable() []string {
	paths := []string{maskTitle, maskDescription, maskMetadata, maskAutostart}
	for _, t := range domain.Tunables() {
		paths = append(paths, string(t))
	}
	return paths
}

// revision is an update of a domain on its way: what was, what will be, and the events that tell it.
type revision struct {
	q      *davitv1.UpdateDomainRequest
	from   *snapshot
	next   snapshot
	told   []*davitv1.Event
	def    *davitv1.Domain // to be stored; nil if the stored definition stays
	live   *davitv1.Domain // to be told to the driver; nil if it need not be
	device *davitv1.Device // of the run, that changes; nil if it is something else
	failed *davitv1.Event  // what is told if the driver does not remove it; may be nil
}

// tunables are the fields of the definition that the mask names.
func (r *revision) tunables() []domain.Tunable {
	var list []domain.Tunable
	for _, path := range r.q.GetUpdateMask().GetPaths() {
		if t, known := domain.ParseTunable(path); known {
			list = append(list, t)
		}
	}
	return list
}

// update stores the change, in the definitions that it affects, and tells it.
func (a *actor) update(ctx context.Context, q *davitv1.UpdateDomainRequest) (*davitv1.EventPosition, error) {
	s := a.current.Load()
	stale := q.GetEtag() != "" && q.GetEtag() != s.etag()
	if stale && !again(ctx) {
		return nil, changed(s.name, q.GetEtag(), s.etag())
	}
	onLive, onStored, err := affected(s, q)
	if err != nil {
		return nil, err
	}
	r := &revision{q: q, from: s, next: *s}
	if err := a.revise(r, onLive, onStored); err != nil {
		return nil, err
	}
	switch {
	case len(r.told) == 0:
		return a.settle() // it is so already
	case stale:
		return nil, changed(s.name, q.GetEtag(), s.etag())
	case r.live != nil:
		return a.tune(ctx, r)
	}
	return a.complete(r)
}

// complete stores the change and tells it.
func (a *actor) complete(r *revision) (*davitv1.EventPosition, error) {
	if r.def == nil && r.next.autostart == r.from.autostart {
		return a.commit(r.next, r.told...)
	}
	return a.rewrite(r.next, r.told, func() error { return a.write(r) }, func() error { return a.putBack(r.from) })
}

// write stores what is changed of the stored definition.
func (a *actor) write(r *revision) error {
	if r.def != nil {
		if err := a.engine.store.Put(r.def); err != nil {
			return err
		}
	}
	if r.next.autostart != r.from.autostart {
		return a.engine.store.SetAutostart(a.uuid, r.next.autostart)
	}
	return nil
}

// affected tells which definitions an update is about, or in libvirt's words why it cannot be.
func affected(s *snapshot, q *davitv1.UpdateDomainRequest) (onLive, onStored bool, err error) {
	onLive, onStored, err = scope(s, q.GetAffect(), "update")
	switch {
	case err != nil:
		return false, false, err
	case slices.Contains(q.GetUpdateMask().GetPaths(), maskAutostart) && !s.persistent():
		return false, false, wrongState(s, "update", "cannot set autostart for transient domain")
	}
	return onLive, onStored, immutable(s, q, onLive)
}

// scope tells which definitions a change is about, or in libvirt's words why there are none such.
func scope(s *snapshot, affect davitv1.Affect, action string) (onLive, onStored bool, err error) {
	switch affect {
	case davitv1.Affect_AFFECT_LIVE:
		onLive = true
	case davitv1.Affect_AFFECT_CONFIG:
		onStored = true
	case davitv1.Affect_AFFECT_LIVE_AND_CONFIG:
		onLive, onStored = true, true
	default:
		onLive, onStored = s.active(), !s.active()
	}
	switch {
	case onLive && !s.active():
		return false, false, wrongState(s, action, "domain is not running")
	case onStored && !s.persistent():
		return false, false, wrongState(s, action, "transient domains do not have any persistent config")
	}
	return onLive, onStored, nil
}

// revise works the change out.
func (a *actor) revise(r *revision, onLive, onStored bool) error {
	if onStored {
		old, def, err := r.apply(r.from.stored)
		if err != nil {
			return err
		}
		kinds, redefined := differences(old, def), len(tuned(old, def)) > 0
		if redefined {
			told, refusal := a.verdict(r.from, domain.Redefine)
			if refusal != nil {
				return refusal
			}
			r.told = append(r.told, told...)
		}
		if redefined || len(kinds) > 0 {
			if r.next.stored, err = rest(def); err != nil {
				return err
			}
			r.def = def
		}
		a.mention(r, kinds)
	}
	if onLive {
		old, def, err := r.apply(r.from.run.live)
		if err != nil {
			return err
		}
		if err = r.bound(old, def); err != nil {
			return err
		}
		changed := *r.from.run
		if changed.live, err = rest(def); err != nil {
			return err
		}
		r.next.run = &changed
		a.mention(r, differences(old, def))
		a.announce(r, old, def)
	}
	if slices.Contains(r.q.GetUpdateMask().GetPaths(), maskAutostart) && r.q.GetAutostart() != r.from.autostart {
		r.next.autostart = r.q.GetAutostart()
		a.mention(r, []*davitv1.MetadataChangeEvent{{Type: davitv1.MetadataType_METADATA_TYPE_AUTOSTART}})
	}
	return nil
}

// mention adds events of a change, unless another definition's change of the same kind has them already.
func (a *actor) mention(r *revision, kinds []*davitv1.MetadataChangeEvent) {
	for _, kind := range kinds {
		if slices.ContainsFunc(r.told, func(ev *davitv1.Event) bool {
			return ev.GetMetadataChange().GetType() == kind.GetType() && ev.GetMetadataChange().GetUri() == kind.GetUri()
		}) {
			continue
		}
		ev := a.event(r.from, time.Now())
		ev.Kind = &davitv1.Event_MetadataChange{MetadataChange: kind}
		r.told = append(r.told, ev)
	}
}

// apply gives a definition before and after the change.
func (r *revision) apply(d *definition) (old, def *davitv1.Domain, err error) {
	old, err = d.open()
	if err != nil {
		return nil, nil, err
	}
	def = proto.CloneOf(old)
	for _, path := range r.q.GetUpdateMask().GetPaths() {
		switch path {
		case maskTitle:
			def.Title = r.q.GetTitle()
		case maskDescription:
			def.Description = r.q.GetDescription()
		case maskMetadata:
			def.Metadata = r.q.GetMetadata()
		}
	}
	for _, t := range r.tunables() {
		t.Copy(def, r.q.GetDefinition())
	}
	if err := r.fits(def); err != nil {
		return nil, nil, err
	}
	domain.Normalize(def)
	if err := domain.Validate(def); err != nil {
		return nil, nil, err
	}
	return old, def, nil
}

// differences are the events that tell what was changed.
func differences(old, def *davitv1.Domain) []*davitv1.MetadataChangeEvent {
	var kinds []*davitv1.MetadataChangeEvent
	if old.GetTitle() != def.GetTitle() {
		kinds = append(kinds, &davitv1.MetadataChangeEvent{Type: davitv1.MetadataType_METADATA_TYPE_TITLE})
	}
	if old.GetDescription() != def.GetDescription() {
		kinds = append(kinds, &davitv1.MetadataChangeEvent{Type: davitv1.MetadataType_METADATA_TYPE_DESCRIPTION})
	}
	for _, uri := range changedElements(old.GetMetadata(), def.GetMetadata()) {
		kinds = append(kinds, &davitv1.MetadataChangeEvent{Type: davitv1.MetadataType_METADATA_TYPE_ELEMENT, Uri: uri})
	}
	return kinds
}
