package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	gomaps "maps"
	"os"
	"path"
	"slices"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver/monitor/client"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// The plan that the monitor has is the truth about the devices of a run. A change is written down, with the facts of what
// comes, before anything is done: whoever finds that a change was under way asks for the plan, and keeps the facts of what is
// there.

const opUpdate = "update domain"

// refurnish makes the nodes and mounts of the container those of a definition, all or none.
func (i *instance) refurnish(ctx context.Context, def *davitv1.Domain) error {
	before := i.definition()
	err := i.furnishAs(ctx, before, def)
	if _, unknown := errors.AsType[*unknownError](err); unknown {
		// It is not known whether the monitor did it; the plan tells.
		brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangTime)
		defer cancel()
		err = errors.Join(i.refused(opUpdate, err), i.furnishAs(brief, def, before))
	}
	return err
}

// unknownError tells that nothing is known of what a monitor was asked.
type unknownError struct{ error }

func (e *unknownError) Unwrap() error { return e.error }

func (i *instance) furnishAs(ctx context.Context, before, def *davitv1.Domain) error {
	if !i.isRevising() && sameFurniture(def, before) {
		return nil
	}
	if err := checkChanged(before, def); err != nil {
		return err
	}
	now, err := i.monitor.Plan(ctx)
	if err != nil {
		return i.deviceFailed(def, before, err)
	}
	have := i.present(now)
	got, err := i.d.hold(ctx, opUpdate, def, have)
	if err != nil {
		return err
	}
	defer got.close()
	facts := i.d.hostFacts(def)
	facts.Sources, facts.Unmappable = got.sources, i.d.lookMaps(def)
	for _, f := range before.GetDevices().GetFilesystem() {
		delete(facts.Unmappable, spaceKey(f)) // it is there
	}
	if err = hostLacks(opUpdate, def.GetName(), unmappable(def, facts)...); err != nil {
		return err
	}
	r, err := revise(now, def, facts)
	if err != nil {
		return err
	}
	if changesNothing(r, now) {
		return i.settle(def, got.sources)
	}
	if err = i.checkIdle(ctx, before, have, got.sources); err != nil {
		return err
	}
	return i.carryOut(ctx, before, def, r, got, have)
}

// carryOut has a revision done. What comes is allowed before it is there, and what goes is forbidden after it has gone.
func (i *instance) carryOut(ctx context.Context, before, def *davitv1.Domain, r *monitorv1.Revise, got *held, have map[string]Source) error {
	made, err := makeUppers(r.GetAddMounts())
	if err == nil {
		err = i.d.limitFolders(ctx, opUpdate, before, def)
	}
	if err == nil {
		err = i.announce(def, have, got.sources)
	}
	if err == nil {
		err = i.d.takeStep("change devices")
	}
	if err != nil {
		return errors.Join(i.deviceFailed(def, before, err), i.settle(before, have), removeUppers(made))
	}
	if err = i.monitor.Revise(ctx, r, got.files...); err != nil {
		if _, told := errors.AsType[*client.Error](err); !told {
			return &unknownError{err}
		}
		return errors.Join(i.deviceFailed(def, before, err), i.settle(before, have), removeUppers(made))
	}
	if err = i.d.takeStep("settle devices"); err != nil {
		return &unknownError{err}
	}
	return errors.Join(notePlan(i.folder, r.GetPlan()), i.settle(def, got.sources))
}

// announce writes down what there may be from now on, and allows it.
func (i *instance) announce(def *davitv1.Domain, have, next map[string]Source) error {
	if err := i.d.takeStep("announce devices"); err != nil {
		return err
	}
	either := gomaps.Clone(next)
	gomaps.Copy(either, have)
	if err := i.remember(either, true); err != nil {
		return err
	}
	if err := i.d.takeStep("allow devices"); err != nil {
		return err
	}
	return i.allow(def, either)
}

// settle allows what there is, and nothing else, and writes down that no change is under way.
func (i *instance) settle(def *davitv1.Domain, sources map[string]Source) error {
	if err := i.allow(def, sources); err != nil {
		return err
	}
	return i.remember(sources, false)
}

// allow makes the device policy that of a definition and these devices.
func (i *instance) allow(def *davitv1.Domain, sources map[string]Source) error {
	facts := i.d.hostFacts(def)
	facts.Sources = sources
	return i.group.SetLimits(cgroup.Limits{Devices: devicePolicy(def, facts)})
}

// remember writes down the devices that there are or, while a change is under way, may be.
func (i *instance) remember(sources map[string]Source, revising bool) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.record.Sources, i.record.Revising = sources, revising
	return writeRecord(i.folder, i.record)
}

func (i *instance) isRevising() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.record.Revising
}

// present are the devices of the record that a plan has.
func (i *instance) present(plan *monitorv1.Plan) map[string]Source {
	i.mu.Lock()
	defer i.mu.Unlock()
	have := make(map[string]Source)
	for key, s := range i.record.Sources {
		if hasSource(plan, key, s) {
			have[key] = s
		}
	}
	return have
}

// resume sees to it that a change of devices that was cut off leaves nothing allowed that is not there. The change itself is
// made, or undone, by the update that follows.
func (i *instance) resume(ctx context.Context) error {
	if !i.isRevising() || i.monitor == nil || i.group == nil {
		return nil
	}
	plan, err := i.monitor.Plan(ctx)
	if err != nil {
		return i.refused("recover domain", err)
	}
	i.d.log.Info("a change of devices was cut off", zap.String("uuid", i.spec.UUID))
	return errors.Join(notePlan(i.folder, plan), i.allow(i.spec.Definition, i.present(plan)))
}

// checkIdle refuses to take a block device away that the guest has mounted, or uses in another way that excludes others: as
// swap, or in a volume. A program that merely has the node open keeps what it has opened, as with libvirt.
func (i *instance) checkIdle(ctx context.Context, def *davitv1.Domain, have, next map[string]Source) error {
	var mounts string
	paths := make(map[string]string)
	for _, n := range needs(def) {
		paths[n.key] = n.path
	}
	for _, key := range slices.Sorted(gomaps.Keys(have)) {
		s := have[key]
		if _, stays := next[key]; stays || !s.Block || s.Access == "" {
			continue
		}
		if mounts == "" {
			mounts = i.guestMounts(ctx)
		}
		if strings.Contains(mounts, " "+s.number()+" ") || s.Alone && isClaimed(s, paths[key]) {
			_, alias, _ := strings.Cut(key, " ")
			return &domain.Error{
				Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DEVICE_BUSY, Op: opUpdate, Subject: def.GetName(),
				Message: fmt.Sprintf("the guest uses /dev/%s: unmount it there first", s.Nodes[0]), Detail: map[string]string{"device": alias},
			}
		}
	}
	return nil
}

// guestMounts are the mounts that init sees, as text; empty where that cannot be known.
func (i *instance) guestMounts(ctx context.Context) string {
	state, err := i.withInit(ctx, opUpdate)
	if err != nil {
		return ""
	}
	file, err := i.openProc(int(state.GetPid()), "mountinfo")
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	text, _ := readBounded(file, maxMountBytes)
	return text
}

// isClaimed tells whether somebody uses a block device that is ours alone in a way that excludes others.
func isClaimed(s Source, path string) bool {
	if strings.HasPrefix(s.Content, "file ") {
		path = fmt.Sprintf("/dev/loop%d", s.Minor)
	}
	at, found, err := resolve(need{kind: blockSource, path: path})
	if err != nil {
		return false
	}
	defer func() { _ = at.Close() }()
	return found.number() == s.number() && errors.Is(tryAlone(at), unix.EBUSY)
}

// deviceFailed is the error of a change of devices that a monitor did not make.
func (i *instance) deviceFailed(def, before *davitv1.Domain, err error) error {
	if _, own := errors.AsType[*domain.Error](err); own || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	told, ok := errors.AsType[*client.Error](err)
	if !ok {
		return i.refused(opUpdate, err)
	}
	e := &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_DEVICE_FAILED, Op: opUpdate, Subject: def.GetName(),
		Message: told.Error(), Detail: map[string]string{"operation": told.Operation, "object": told.Object},
	}
	if alias := aliasOf(told.Object, def, before); alias != "" {
		e.Detail["device"] = alias
	}
	if told.Errno != 0 {
		e.Detail["errno"] = unix.ErrnoName(told.Errno)
	}
	switch told.Kind {
	case monitorv1.ErrorKind_ERROR_KIND_BUSY:
		e.Reason = davitv1.ErrorReason_ERROR_REASON_DEVICE_BUSY
	case monitorv1.ErrorKind_ERROR_KIND_STATE:
		e.Reason, e.Message = davitv1.ErrorReason_ERROR_REASON_DOMAIN_STATE, "the domain has ended"
	default:
		e.Code, e.Reason = codeOf(told.Errno, e.Code, e.Reason)
	}
	return e
}

// aliasOf is the device that has a path inside, by the definitions.
func aliasOf(object string, list ...*davitv1.Domain) string {
	for _, def := range list {
		for _, f := range def.GetDevices().GetFilesystem() {
			if path.Clean(f.GetTargetDir()) == object {
				return f.GetAlias()
			}
		}
		for _, n := range needs(def) {
			if slices.Contains(n.nodes, strings.TrimPrefix(object, "/dev/")) {
				return n.alias
			}
		}
	}
	return ""
}

// readBounded reads text up to a bound.
func readBounded(file *os.File, bound int64) (string, error) {
	text, err := io.ReadAll(io.LimitReader(file, bound))
	return string(text), err
}
