package engine

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// DetachDevice removes a device from a domain.
func (e *Engine) DetachDevice(ctx context.Context, q *davitv1.DetachDeviceRequest) (*davitv1.DetachDeviceResponse, error) {
	if err := knownAffect(q.GetAffect()); err != nil {
		return nil, err
	}
	sel, err := domain.ReadDeviceSelector(q.GetDevice())
	if err != nil {
		return nil, err
	}
	return once(ctx, e, q, func(ctx context.Context) (*davitv1.DetachDeviceResponse, error) {
		return act(ctx, e, q.GetDomain(), "detach device", func(ctx context.Context, a *actor) (*davitv1.DetachDeviceResponse, error) {
			done, err := a.plugIn(ctx, a.detachment(q, sel))
			if err != nil {
				return nil, err
			}
			return &davitv1.DetachDeviceResponse{
				Device: done.device, Domain: a.current.Load().info(), Position: done.position,
			}, nil
		})
	})
}

// detachment is the change that removes a device, the same one from both definitions.
func (a *actor) detachment(q *davitv1.DetachDeviceRequest, sel *domain.DeviceSelection) *plug {
	detach := func(def *davitv1.Domain, sel *domain.DeviceSelection) (plugged, error) {
		next, removed, err := domain.Detach(def, sel)
		return plugged{def: next, old: removed}, err
	}
	return &plug{
		verb: "detach", affect: q.GetAffect(), etag: q.GetEtag(),
		live: func(def *davitv1.Domain) (plugged, error) {
			dev, err := domain.FindDevice(def, sel)
			if err != nil {
				return plugged{}, err
			}
			if err := domain.CanPlug(def, dev, "detach"); err != nil {
				return plugged{}, err
			}
			return detach(def, sel)
		},
		stored: func(def *davitv1.Domain, other *plugged) (plugged, error) {
			if other != nil {
				return detach(def, domain.SelectDevice(other.old))
			}
			known, err := a.named(sel)
			if err != nil {
				return plugged{}, err
			}
			if known != nil {
				return detach(def, domain.SelectDevice(known))
			}
			return detach(def, sel)
		},
	}
}

// named is the device of the run that a selection names by its alias, which stored definitions do not have; nil if it says enough
// without.
func (a *actor) named(sel *domain.DeviceSelection) (*davitv1.Device, error) {
	alias, s := sel.Alias(), a.current.Load()
	if alias == "" {
		return nil, nil //nolint:nilnil // it is not named
	}
	if s.active() {
		def, err := s.run.live.open()
		if err != nil {
			return nil, err
		}
		dev, err := domain.FindDevice(def, sel)
		if err == nil || !sel.Written() {
			return dev, err
		}
	}
	if sel.Written() {
		return nil, nil //nolint:nilnil // as above
	}
	return nil, &domain.Error{
		Code: codes.NotFound, Reason: davitv1.ErrorReason_ERROR_REASON_DEVICE_NOT_FOUND,
		Op: "find device of domain", Subject: s.name, Detail: map[string]string{"domain": s.name, "device": alias},
		Err: errors.New("its devices get aliases when it starts; name the device by its target, address or source"),
	}
}
