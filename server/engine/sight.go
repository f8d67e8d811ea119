package engine

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// operatorKey is the context key of [WithOperator].
type operatorKey struct{}

// WithOperator tells that whoever makes the calls of a context may act on domains, and so see what they hold. All others may
// only look: they are shown no secrets.
func WithOperator(ctx context.Context) context.Context {
	return context.WithValue(ctx, operatorKey{}, true)
}

// sightOf is how much of definitions the caller is shown, who asks for secrets or does not.
func sightOf(ctx context.Context, secrets bool) (domain.Sight, error) {
	operator, _ := ctx.Value(operatorKey{}).(bool)
	switch {
	case operator && secrets:
		return domain.SightFull, nil
	case operator:
		return domain.SightPlain, nil
	case secrets:
		return domain.SightLook, &domain.Error{
			Code: codes.PermissionDenied, Reason: davitv1.ErrorReason_ERROR_REASON_ACCESS_DENIED,
			Op: "show secrets", Message: "operate access is needed",
			Detail: map[string]string{"needed": "operate"},
		}
	}
	return domain.SightLook, nil
}

// told is what a caller is told of a domain. The etag of a definition with secrets is a digest of them, too: whoever may only
// look gets another, that he cannot try guesses on.
func (e *Engine) told(ctx context.Context, s *snapshot) *davitv1.DomainInfo {
	info := s.info()
	info.Etag = e.etagFor(ctx, s)
	return info
}

// etagFor is the etag of a domain's definition for a caller.
func (e *Engine) etagFor(ctx context.Context, s *snapshot) string {
	if sight, _ := sightOf(ctx, false); sight != domain.SightLook || !s.inactive().secret {
		return s.etag()
	}
	mac := hmac.New(sha256.New, e.blind[:])
	mac.Write([]byte(s.etag()))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// keepSecrets puts the secrets of the definition that is replaced into the one that replaces it, where that has only
// something in their place.
func keepSecrets(s *snapshot, def *davitv1.Domain) error {
	if !domain.HasWithheld(def) {
		return nil
	}
	var from *davitv1.Domain
	if s != nil {
		var err error
		if from, err = s.inactive().open(); err != nil {
			return err
		}
	}
	return domain.Restore(def, from)
}
