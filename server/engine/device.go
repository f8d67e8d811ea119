package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Devices of domains come, go and change as limits are changed: see tune.go. What is peculiar to them is here. A change of both
// definitions of a domain is worked out for both before anything is stored.

// plug is a change of one device on its way.
type plug struct {
	verb   string
	affect davitv1.Affect
	etag   string
	// live and stored make a definition another one and give the device that it is about. What stored is given beside is the
	// device of the live definition, as it was and is; nil if that one is not affected.
	live   func(def *davitv1.Domain) (plugged, error)
	stored func(def *davitv1.Domain, other *plugged) (plugged, error)
}

// plugged is a definition whose device was changed: from old, nil if there was none, to now, nil if there is none.
type plugged struct {
	def      *davitv1.Domain
	old, now *davitv1.Device
}

// device is the one that it is about.
func (p *plugged) device() *davitv1.Device {
	if p.now != nil {
		return p.now
	}
	return p.old
}

// outcome is what became of a change of a device.
type outcome struct {
	device   *davitv1.Device
	warnings []*davitv1.Warning
	position *davitv1.EventPosition
}

// plugIn makes a change of a device, of the definitions that it affects.
func (a *actor) plugIn(ctx context.Context, p *plug) (*outcome, error) {
	s := a.current.Load()
	stale := p.etag != "" && p.etag != s.etag()
	if stale && !again(ctx) {
		return nil, changed(s.name, p.etag, s.etag())
	}
	onLive, onStored, err := scope(s, p.affect, p.verb+" device of")
	if err != nil {
		return nil, err
	}
	r := &revision{from: s, next: *s}
	var live, stored *plugged
	if onLive {
		if live, err = a.plugLive(r, p); err != nil {
			return nil, err
		}
	}
	if onStored {
		if stored, err = a.plugStored(r, p, live); err != nil {
			return nil, err
		}
	}
	position, err := a.settlePlug(ctx, r, p, stale)
	if err != nil {
		return nil, err
	}
	return a.outcome(ctx, live, stored, position), nil
}

// settlePlug has a change that was worked out done, unless all is so already.
func (a *actor) settlePlug(ctx context.Context, r *revision, p *plug, stale bool) (*davitv1.EventPosition, error) {
	switch {
	case len(r.told) == 0:
		return a.settle()
	case stale:
		return nil, changed(r.from.name, p.etag, r.from.etag())
	case r.live != nil:
		return a.tune(ctx, r)
	}
	return a.complete(r)
}

// plugLive works the change of the live definition out.
func (a *actor) plugLive(r *revision, p *plug) (*plugged, error) {
	if _, err := r.from.instance(p.verb + " device of"); err != nil {
		return nil, err
	}
	old, err := r.from.run.live.open()
	if err != nil {
		return nil, err
	}
	live, err := p.live(old)
	if err != nil {
		return nil, err
	}
	next, err := rest(live.def)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(next.wire, r.from.run.live.wire) {
		return &live, nil
	}
	changing := *r.from.run
	changing.live = next
	r.next.run, r.live, r.device = &changing, live.def, live.device()
	r.told = append(r.told, a.deviceEvents(r.from, old, live.def)...)
	if live.now == nil {
		r.failed = a.deviceEvent(r.from, domain.DeviceAlias(live.old), davitv1.DeviceEventType_DEVICE_EVENT_TYPE_REMOVAL_FAILED)
	}
	return &live, nil
}

// plugStored works the change of the stored definition out. It is told before that of the live one.
func (a *actor) plugStored(r *revision, p *plug, live *plugged) (*plugged, error) {
	old, err := r.from.stored.open()
	if err != nil {
		return nil, err
	}
	stored, err := p.stored(old, live)
	if err != nil {
		return nil, err
	}
	next, err := rest(stored.def)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(next.wire, r.from.stored.wire) {
		return &stored, nil
	}
	told, err := a.verdict(r.from, domain.Redefine)
	if err != nil {
		return nil, err
	}
	r.next.stored, r.def = next, stored.def
	r.told = append(told, r.told...)
	return &stored, nil
}

// outcome tells what became of a change. A device of the running domain has the names that the driver chose.
func (a *actor) outcome(ctx context.Context, live, stored *plugged, position *davitv1.EventPosition) *outcome {
	o := &outcome{position: position}
	if stored != nil {
		o.device = stored.device()
		if stored.now != nil {
			o.warnings = a.engine.hostWarnings(ctx, stored)
		}
	}
	if live == nil {
		return o
	}
	o.device = live.device()
	run := a.current.Load().run
	if live.now == nil || run == nil {
		return o
	}
	def, err := run.live.open()
	if err != nil {
		return o
	}
	for _, dev := range domain.Devices(def) {
		if domain.DeviceAlias(dev) == domain.DeviceAlias(live.now) {
			o.device = dev
		}
	}
	return o
}

// hostWarnings are what this host says of a device of a stored definition.
func (e *Engine) hostWarnings(ctx context.Context, p *plugged) []*davitv1.Warning {
	warnings, refusal := e.driver.Check(ctx, p.def)
	return domain.WarningsOf(p.def, p.now, obstacles(warnings, refusal))
}

// deviceEvents are the events that tell how the devices of a running domain change.
func (a *actor) deviceEvents(s *snapshot, old, def *davitv1.Domain) []*davitv1.Event {
	was := map[string]*davitv1.Device{}
	for _, dev := range domain.Devices(old) {
		was[domain.DeviceAlias(dev)] = dev
	}
	var told []*davitv1.Event
	for _, dev := range domain.Devices(def) {
		alias := domain.DeviceAlias(dev)
		switch before := was[alias]; {
		case before == nil:
			told = append(told, a.deviceEvent(s, alias, davitv1.DeviceEventType_DEVICE_EVENT_TYPE_ADDED))
		case !proto.Equal(before, dev):
			told = append(told, a.deviceEvent(s, alias, davitv1.DeviceEventType_DEVICE_EVENT_TYPE_UPDATED))
		}
		delete(was, alias)
	}
	for _, dev := range domain.Devices(old) {
		if alias := domain.DeviceAlias(dev); was[alias] != nil {
			told = append(told, a.deviceEvent(s, alias, davitv1.DeviceEventType_DEVICE_EVENT_TYPE_REMOVED))
		}
	}
	return told
}

func (a *actor) deviceEvent(s *snapshot, alias string, kind davitv1.DeviceEventType) *davitv1.Event {
	ev := a.event(s, time.Now())
	ev.Kind = &davitv1.Event_Device{Device: &davitv1.DeviceEvent{Alias: alias, Type: kind}}
	return ev
}

// maxCause is the greatest length of a cause that an event tells, in bytes.
const maxCause = 1024

// refused is the error of a change that the driver did not make. That a device could not be removed is told, too.
func (a *actor) refused(r *revision, err error) error {
	if r.device == nil {
		return err
	}
	err = deviceFailed(a.name, r.device, err)
	if r.failed == nil || isReason(err, davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE) {
		return err
	}
	cause := err.Error()
	r.failed.GetDevice().Cause = strings.ToValidUTF8(cause[:min(len(cause), maxCause)], "\ufffd")
	if e := a.adopt(*a.current.Load(), r.failed); e != nil {
		a.log.Warn("tell that a device was not removed", zap.Error(e))
	}
	return err
}

// deviceFailed makes an error of the driver one that tells what failed, unless it does already.
func deviceFailed(name string, dev *davitv1.Device, err error) error {
	if _, known := errors.AsType[*domain.Error](err); known {
		return err
	}
	return &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED,
		Op: "change device of domain", Subject: name, Message: fmt.Sprintf("%s: %v", domain.DescribeDevice(dev), err),
		Detail: map[string]string{"domain": name, "device": domain.DescribeDevice(dev)},
	}
}

// isReason tells whether an error is one for a reason.
func isReason(err error, reason davitv1.ErrorReason) bool {
	e, ok := errors.AsType[*domain.Error](err)
	return ok && e.Reason == reason
}

// completed is a live definition with the names that the driver of its run chose.
func (a *actor) completed(instance driver.Instance, live *definition) *definition {
	completer, ok := instance.(driver.Completer)
	if !ok {
		return live
	}
	def, err := live.open()
	if err != nil {
		a.log.Error("complete definition", zap.Error(err))
		return live
	}
	def = domain.WithoutChosen(def)
	completer.Complete(def)
	resting, err := rest(def)
	switch {
	case err != nil:
		a.log.Error("complete definition", zap.Error(err))
		return live
	case bytes.Equal(resting.wire, live.wire):
		return live
	}
	return resting
}

// noted are the warnings about a device as it was written, and then others that say something else.
func noted(doc *domain.DeviceDocument, more []*davitv1.Warning) []*davitv1.Warning {
	return slices.Concat(doc.Warnings, domain.DeviceWarnings(doc.Device), more)
}
