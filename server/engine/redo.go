package engine

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// againKey marks the context of work that an earlier daemon may have done.
type againKey struct{}

// again tells whether the work of a context may have been done before.
func again(ctx context.Context) bool {
	done, _ := ctx.Value(againKey{}).(bool)
	return done
}

// target is the UUID of the domain that a request names, empty if that is none.
func (e *Engine) target(q request) string {
	named, ok := q.(interface{ GetDomain() *davitv1.DomainRef })
	if !ok {
		return ""
	}
	if s := e.look(named.GetDomain()); s != nil {
		return s.uuid
	}
	return ""
}

// astray refuses a request that is made again, when what it names is another domain by now than the one that it was made for:
// that one has another name, or is gone, and its namesake is not to be destroyed in its place.
func (e *Engine) astray(q request, subject string) error {
	now := e.target(q)
	if subject == "" || now == "" || now == subject {
		return nil
	}
	return notFound("uuid", subject)
}

// done is the answer to a request that an earlier daemon was killed over, and that was refused when it was made again,
// if what it asks for is the case: it was done then. It is nil if that is not so. What can be done twice, such as a
// signal or a reboot, is never refused for having been done. The subject is the domain that the request was made for: to none,
// nothing was done.
func (e *Engine) done(q request, subject string, refusal error) proto.Message {
	if refusal == nil || undone(refusal) {
		return nil
	}
	now := e.journal.Newest()
	switch q := q.(type) {
	case *davitv1.CreateDomainRequest:
		if s := e.like(q.GetSource(), q.GetStrict(), (*snapshot).effective); s != nil && s.active() {
			return &davitv1.CreateDomainResponse{Domain: s.info(), Position: now}
		}
	case *davitv1.DefineDomainRequest:
		if s := e.defined(q); s != nil {
			return &davitv1.DefineDomainResponse{Domain: s.info(), Position: now}
		}
	}
	if subject == "" {
		return nil
	}
	s := e.look(&davitv1.DomainRef{Ref: &davitv1.DomainRef_Uuid{Uuid: subject}})
	if attach, ok := q.(*davitv1.AttachDeviceRequest); ok {
		if dev := e.attached(s, attach); dev != nil {
			return &davitv1.AttachDeviceResponse{Device: dev, Domain: s.info(), Position: now}
		}
		return nil
	}
	return doneTo(s, q, refusal, now)
}

// doneTo is the answer to what was asked of a domain, which is nil once it is gone.
func doneTo(s *snapshot, q request, refusal error, now *davitv1.EventPosition) proto.Message {
	switch q := q.(type) {
	case *davitv1.DetachDeviceRequest:
		if s != nil && isReason(refusal, davitv1.ErrorReason_ERROR_REASON_DEVICE_NOT_FOUND) {
			return &davitv1.DetachDeviceResponse{Domain: s.info(), Position: now}
		}
	case *davitv1.StartDomainRequest:
		if s != nil && s.active() {
			return &davitv1.StartDomainResponse{Domain: s.info(), Position: now}
		}
	case *davitv1.UndefineDomainRequest:
		if s == nil || !s.persistent() {
			return &davitv1.UndefineDomainResponse{Position: now}
		}
	case *davitv1.RenameDomainRequest:
		if s != nil && s.name == q.GetNewName() {
			return &davitv1.RenameDomainResponse{Domain: s.info(), Position: now}
		}
	case *davitv1.ShutdownDomainRequest:
		if s == nil || !s.active() {
			return &davitv1.ShutdownDomainResponse{Position: now}
		}
	case *davitv1.DestroyDomainRequest:
		if s == nil || !s.active() {
			return &davitv1.DestroyDomainResponse{Position: now}
		}
	case *davitv1.SuspendDomainRequest:
		if s != nil && s.State == davitv1.DomainState_DOMAIN_STATE_PAUSED {
			return &davitv1.SuspendDomainResponse{Position: now}
		}
	case *davitv1.ResumeDomainRequest:
		if s != nil && s.State == davitv1.DomainState_DOMAIN_STATE_RUNNING {
			return &davitv1.ResumeDomainResponse{Position: now}
		}
	}
	return nil
}

// look is the domain of a reference, nil if there is none.
func (e *Engine) look(ref *davitv1.DomainRef) *snapshot {
	_, s, err := e.table.find(ref)
	if err != nil {
		return nil
	}
	return s
}

// defined is the domain that has the stored definition already that a request asks for, nil if there is none.
func (e *Engine) defined(q *davitv1.DefineDomainRequest) *snapshot {
	s := e.like(q.GetSource(), q.GetStrict(), (*snapshot).inactive)
	if s == nil || !s.persistent() {
		return nil
	}
	return s
}

// like is the domain that has a definition already. Where the definition leaves the UUID to davit, that of the domain is
// as good as any.
func (e *Engine) like(source *davitv1.DefinitionSource, strict bool, which func(*snapshot) *definition) *snapshot {
	host, generated := e.host, false
	host.NewUUID = func() string {
		generated = true
		return domain.NewUUID()
	}
	want, _, err := domain.Read(source, domain.ReadOptions{Strict: strict, Host: host})
	if err != nil {
		return nil
	}
	s := e.look(&davitv1.DomainRef{Ref: &davitv1.DomainRef_Name{Name: want.GetName()}})
	if s == nil {
		return nil
	}
	have, err := which(s).open()
	if err != nil {
		return nil
	}
	if domain.Restore(want, have) != nil {
		return nil
	}
	if generated {
		want.Uuid = have.GetUuid()
	}
	if domain.Etag(asleep(have)) != domain.Etag(asleep(want)) {
		return nil
	}
	return s
}
