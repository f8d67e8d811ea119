package engine

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// AttachDevice adds a device to a domain.
func (e *Engine) AttachDevice(ctx context.Context, q *davitv1.AttachDeviceRequest) (*davitv1.AttachDeviceResponse, error) {
	if err := knownAffect(q.GetAffect()); err != nil {
		return nil, err
	}
	doc, err := domain.ReadDevice(q.GetSource(), q.GetStrict())
	if err != nil {
		return nil, err
	}
	return once(ctx, e, q, func(ctx context.Context) (*davitv1.AttachDeviceResponse, error) {
		return act(ctx, e, q.GetDomain(), "attach device", func(ctx context.Context, a *actor) (*davitv1.AttachDeviceResponse, error) {
			done, err := a.plugIn(ctx, e.attachment(q, doc.Device))
			if err != nil {
				return nil, doc.Locate(err)
			}
			return &davitv1.AttachDeviceResponse{
				Device: done.device, Warnings: noted(doc, done.warnings), Domain: a.current.Load().info(), Position: done.position,
			}, nil
		})
	})
}

// attachment is the change that adds a device, the same one to both definitions.
func (e *Engine) attachment(q *davitv1.AttachDeviceRequest, dev *davitv1.Device) *plug {
	dev = requested(q, dev)
	attach := func(def *davitv1.Domain, dev *davitv1.Device) (plugged, error) {
		next, added, err := domain.Attach(def, dev, e.host.NewMAC)
		return plugged{def: next, now: added}, err
	}
	return &plug{
		verb: "attach", affect: q.GetAffect(), etag: q.GetEtag(),
		live: func(def *davitv1.Domain) (plugged, error) {
			if err := domain.CanPlug(def, dev, "attach"); err != nil {
				return plugged{}, err
			}
			return attach(def, dev)
		},
		stored: func(def *davitv1.Domain, other *plugged) (plugged, error) {
			if other != nil {
				return attach(def, domain.Identified(dev, other.now))
			}
			return attach(def, dev)
		},
	}
}

// requested is the device of a request. A hardware address that a request with an id leaves open is always the same: made again, after a
// daemon was killed over it, the request finds the interface that it led to.
func requested(q *davitv1.AttachDeviceRequest, dev *davitv1.Device) *davitv1.Device {
	if n := dev.GetInterface(); n == nil || n.GetMac() != "" || n.GetIpvlan() != 0 || q.GetRequestId() == "" {
		return dev
	}
	sum, err := digest(q)
	if err != nil {
		return dev
	}
	dev = proto.CloneOf(dev)
	dev.GetInterface().Mac = fmt.Sprintf("52:54:00:%02x:%02x:%02x", sum[0], sum[1], sum[2])
	return dev
}

// attached is the device of a request, if the domain has it as the request wants it.
func (e *Engine) attached(s *snapshot, q *davitv1.AttachDeviceRequest) *davitv1.Device {
	doc, err := domain.ReadDevice(q.GetSource(), q.GetStrict())
	if s == nil || err != nil {
		return nil
	}
	onLive, onStored, err := scope(s, q.GetAffect(), "attach")
	if err != nil {
		return nil
	}
	var found *davitv1.Device
	for _, d := range []struct {
		asked bool
		def   *definition
	}{{onStored, s.stored}, {onLive, s.effective()}} {
		if !d.asked {
			continue
		}
		def, err := d.def.open()
		if err != nil {
			return nil
		}
		next, _, now, err := domain.Replace(def, requested(q, doc.Device))
		if err != nil || !proto.Equal(next, def) {
			return nil
		}
		found = now
	}
	return found
}
