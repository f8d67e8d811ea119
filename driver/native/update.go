package native

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/monitor/client"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/proto/plain"
)

// The kernel's values of what a definition leaves open.
const (
	defaultShares = 1024
	defaultPeriod = 100000
)

// Update writes limits to the cgroup, makes and removes devices, and tells the monitor the policy. If one is refused all is made
// as it was.
func (i *instance) Update(ctx context.Context, def *davitv1.Domain) error {
	const op = "update domain"
	if _, err := i.running(ctx, op); err != nil {
		return err
	}
	i.updating.Lock()
	defer i.updating.Unlock()
	if err := i.refit(ctx, def); err != nil {
		return err
	}
	if err := i.d.step("write limits", func() error { return i.limit(def) }); err != nil {
		return errors.Join(i.limitRefused(op, err), i.revert(ctx, false))
	}
	if err := i.d.step("tell policy", func() error { return i.instruct(ctx, def) }); err != nil {
		return errors.Join(i.refused(op, err), i.revert(ctx, true))
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.updated = proto.CloneOf(def)
	return nil
}

// revert makes all as it was, also when ctx has ended: if the monitor was told it is not known what it heard.
func (i *instance) revert(ctx context.Context, told bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangTime)
	defer cancel()
	if told {
		_ = i.instruct(ctx, i.definition()) // it did not answer before
	}
	return errors.Join(i.limit(i.definition()), i.refit(ctx, i.definition()))
}

// instruct tells the monitor what follows the end of init. One of an older davit, which knows no such request, is not bothered
// with what it does already.
func (i *instance) instruct(ctx context.Context, def *davitv1.Domain) error {
	next := policy(def)
	err := i.monitor.SetPolicy(ctx, next, &monitorv1.Limits{MemoryBytes: memoryLimit(def)})
	told, ok := errors.AsType[*client.Error](err)
	if ok && told.Kind == monitorv1.ErrorKind_ERROR_KIND_INVALID && plain.Equal(next, policy(i.definition())) {
		return nil
	}
	return err
}

// definition is the one whose limits hold.
func (i *instance) definition() *davitv1.Domain {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.updated != nil {
		return i.updated
	}
	return i.spec.Definition
}

// limit makes the limits of the cgroup those of a definition.
func (i *instance) limit(def *davitv1.Domain) error {
	has := i.d.cgroups.Has
	l := limits(def, i.d.facts, has)
	devices, faults := ioDevices(def)
	switch {
	case len(faults) == 0:
		l.IODevices = devices
	case sameDevices(def, i.definition()):
		// One was taken out of the host, which is no reason to refuse what has nothing to do with it.
		l = whole(l, has)
		l.IODevices = nil
		return i.group.SetLimits(l)
	default:
		return hostLacks("update domain", def.GetName(), faults...)
	}
	return i.group.SetLimits(whole(l, has))
}

// sameDevices tells whether two definitions say the same of block devices.
func sameDevices(a, b *davitv1.Domain) bool {
	return slices.EqualFunc(a.GetBlkiotune().GetDevice(), b.GetBlkiotune().GetDevice(),
		func(a, b *davitv1.BlkioDevice) bool { return proto.Equal(a, b) })
}

// whole is what an update writes: a limit that a definition does not name is taken away, where there is a controller to
// take it from. Devices and processors are no matter of an update.
func whole(l cgroup.Limits, has func(controller string) bool) cgroup.Limits {
	l.Devices, l.Cpuset = nil, ""
	or := func(limit **uint64, controller string, otherwise uint64) {
		if *limit == nil && has(controller) {
			*limit = &otherwise
		}
	}
	or(&l.MemoryMax, "memory", cgroup.Unlimited)
	or(&l.MemoryHigh, "memory", cgroup.Unlimited)
	or(&l.MemorySwapMax, "memory", cgroup.Unlimited)
	or(&l.CPUShares, "cpu", defaultShares)
	or(&l.CPUPeriod, "cpu", defaultPeriod)
	or(&l.PidsMax, "pids", cgroup.Unlimited)
	or(&l.IOWeight, "io", cgroup.DefaultIOWeight)
	if l.IODevices == nil && has("io") {
		l.IODevices = []cgroup.IODevice{}
	}
	if l.Mems == "" && has("cpuset") {
		l.Mems = cgroup.AllMems
	}
	if l.CPUQuota == nil && has("cpu") {
		none := int64(-1)
		l.CPUQuota = &none
	}
	return l
}

// limitRefused says why limits could not be changed, in libvirt's words where it has some.
func (i *instance) limitRefused(op string, err error) error {
	if _, own := errors.AsType[*domain.Error](err); own {
		return err
	}
	e := &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_HOST_UNSUPPORTED,
		Op: op, Subject: i.spec.Definition.GetName(), Err: err,
		Detail: map[string]string{"feature": "cgroup limit"},
	}
	switch {
	case errors.Is(err, cgroup.ErrNoController):
		e.Message = "cgroup controller is not mounted"
	case elementOf(err) != "":
		e.Message, e.Detail["element"] = elementOf(err), elementOf(err)
	case errors.Is(err, unix.EBUSY):
		e.Reason, e.Message, e.Detail = davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE, "it uses more than that", nil
	}
	return e
}
