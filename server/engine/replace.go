package engine

import (
	"context"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// UpdateDevice puts a device in the place of one that a domain has.
func (e *Engine) UpdateDevice(ctx context.Context, q *davitv1.UpdateDeviceRequest) (*davitv1.UpdateDeviceResponse, error) {
	if err := knownAffect(q.GetAffect()); err != nil {
		return nil, err
	}
	doc, err := domain.ReadDevice(q.GetSource(), q.GetStrict())
	if err != nil {
		return nil, err
	}
	return once(ctx, e, q, func(ctx context.Context) (*davitv1.UpdateDeviceResponse, error) {
		return act(ctx, e, q.GetDomain(), "update device", func(ctx context.Context, a *actor) (*davitv1.UpdateDeviceResponse, error) {
			done, err := a.plugIn(ctx, a.replacement(q, doc.Device))
			if err != nil {
				return nil, doc.Locate(err)
			}
			return &davitv1.UpdateDeviceResponse{
				Device: done.device, Warnings: noted(doc, done.warnings), Domain: a.current.Load().info(), Position: done.position,
			}, nil
		})
	})
}

// replacement is the change that puts a device in the place of another, the same one in both definitions.
func (a *actor) replacement(q *davitv1.UpdateDeviceRequest, dev *davitv1.Device) *plug {
	replace := func(def *davitv1.Domain, dev *davitv1.Device) (plugged, error) {
		next, old, now, err := domain.Replace(def, dev)
		return plugged{def: next, old: old, now: now}, err
	}
	return &plug{
		verb: "update", affect: q.GetAffect(), etag: q.GetEtag(),
		live: func(def *davitv1.Domain) (plugged, error) {
			p, err := replace(def, dev)
			if err == nil {
				err = domain.CanChange(def, p.old, p.now)
			}
			return p, err
		},
		stored: func(def *davitv1.Domain, other *plugged) (plugged, error) {
			if other != nil {
				return replace(def, domain.Identified(dev, other.old))
			}
			if s := a.current.Load(); s.active() && domain.DeviceAlias(dev) != "" {
				running, err := s.run.live.open()
				if err != nil {
					return plugged{}, err
				}
				if known, err := domain.FindDevice(running, domain.SelectAlias(domain.DeviceAlias(dev))); err == nil {
					return replace(def, domain.Identified(dev, known))
				}
			}
			return replace(def, dev)
		},
	}
}
