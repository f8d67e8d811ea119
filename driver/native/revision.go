package native

import (
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/proto/plain"
)

// revise is what makes the devices of a container, which were made by one plan, those of a definition: the plan of the boots that
// follow, and what goes and comes in the one that runs. All else of the plan stays as it is, also where a newer davitd would
// make it otherwise. It touches nothing.
func revise(now *monitorv1.Plan, def *davitv1.Domain, facts Facts) (*monitorv1.Revise, error) {
	l, err := newLayout(def, facts)
	if err != nil {
		return nil, err
	}
	l.allotted = l.allotted && now.GetNamespaces().GetUser() // an older davit gave it none
	if err := checkDevices(def, facts); err != nil {
		return nil, err
	}
	if root := l.root(); !plain.Equal(root, now.GetOperations()[0]) {
		return nil, unchangeable(def, "/domain/devices/filesystem", "the root of a domain that runs cannot be another")
	}
	next := plain.Clone(now)
	next.Held = heldNames(def)
	r := &monitorv1.Revise{Plan: next}
	for _, name := range next.GetHeld() {
		if !slices.Contains(now.GetHeld(), name) {
			r.Hold = append(r.Hold, name)
		}
	}
	if err := reviseNodes(r, def, facts); err != nil {
		return nil, err
	}
	return r, reviseMounts(r, def, l.mountSteps())
}

// reviseNodes tells which nodes of /dev go and come.
func reviseNodes(r *monitorv1.Revise, def *davitv1.Domain, facts Facts) error {
	dev := devOf(r.GetPlan())
	if dev == nil {
		return fmt.Errorf("change devices of %q: its plan has no /dev", def.GetName())
	}
	want := deviceNodes(def, facts)
	var own []*monitorv1.DeviceNode
	for _, n := range dev.GetNodes() {
		at := slices.IndexFunc(want, func(w *monitorv1.DeviceNode) bool { return w.GetName() == n.GetName() })
		switch {
		case isOwnNode(n.GetName()):
			own = append(own, n)
		case at < 0:
			r.RemoveNodes = append(r.RemoveNodes, n.GetName())
		case !plain.Equal(n, want[at]):
			return unchangeable(def, "/domain/devices", fmt.Sprintf("/dev/%s is that of another device", n.GetName()))
		}
	}
	for _, w := range want {
		if !slices.ContainsFunc(dev.GetNodes(), func(n *monitorv1.DeviceNode) bool { return n.GetName() == w.GetName() }) {
			r.AddNodes = append(r.AddNodes, w)
		}
	}
	dev.Nodes = append(own, want...)
	return nil
}

// isOwnNode tells the nodes of every domain, and those of clocks, from those of devices.
func isOwnNode(name string) bool {
	for _, n := range nodes {
		if n.name == name {
			return true
		}
	}
	for _, clock := range clocks {
		if clock == name {
			return true
		}
	}
	return false
}

func devOf(plan *monitorv1.Plan) *monitorv1.Dev {
	for _, op := range plan.GetOperations() {
		if op.GetDev() != nil {
			return op.GetDev()
		}
	}
	return nil
}

// reviseMounts tells which mounts go and come. Of the ones that stay the order is that of the definition at the next boot.
func reviseMounts(r *monitorv1.Revise, def *davitv1.Domain, want []*monitorv1.Operation) error {
	ops := r.GetPlan().GetOperations()
	from, to := mountRange(ops)
	have := ops[from:to]
	for _, op := range slices.Backward(have) {
		at := slices.IndexFunc(want, func(w *monitorv1.Operation) bool { return targetOf(w) == targetOf(op) })
		switch {
		case at < 0:
			r.RemoveMounts = append(r.RemoveMounts, targetOf(op))
		case !plain.Equal(op, want[at]):
			return unchangeable(def, "/domain/devices/filesystem", fmt.Sprintf("what is mounted on %q is another filesystem", targetOf(op)))
		}
	}
	for _, w := range want {
		if !slices.ContainsFunc(have, func(op *monitorv1.Operation) bool { return targetOf(op) == targetOf(w) }) {
			r.AddMounts = append(r.AddMounts, w)
		}
	}
	r.GetPlan().Operations = slices.Concat(ops[:from], want, ops[to:])
	return nil
}

// mountRange is where the filesystems of a definition are in a plan: between what every domain has and what hides parts of all.
func mountRange(ops []*monitorv1.Operation) (from, to int) {
	for i, op := range ops {
		if op.GetDev() != nil || op.GetConsoleBind() != nil {
			from = i + 1
		}
	}
	to = from
	for to < len(ops) && targetOf(ops[to]) != "" {
		to++
	}
	return from, to
}

// targetOf is where an operation mounts a filesystem of a definition; empty if it does something else.
func targetOf(op *monitorv1.Operation) string {
	switch {
	case op.GetBind() != nil:
		return op.GetBind().GetTarget()
	case op.GetInnerBind() != nil:
		return op.GetInnerBind().GetTarget()
	case op.GetOverlay() != nil:
		return op.GetOverlay().GetTarget()
	case op.GetTmpfs() != nil:
		return op.GetTmpfs().GetTarget()
	case op.GetImage() != nil:
		return op.GetImage().GetTarget()
	}
	return ""
}

// changesNothing tells a revision after which all is as it was.
func changesNothing(r *monitorv1.Revise, now *monitorv1.Plan) bool {
	return plain.Equal(r.GetPlan(), now)
}

// hasSource tells whether a plan has a device.
func hasSource(plan *monitorv1.Plan, key string, s Source) bool {
	if s.Held && !slices.Contains(plan.GetHeld(), key) {
		return false
	}
	for _, want := range s.nodesOf() {
		if !slices.ContainsFunc(devOf(plan).GetNodes(), func(have *monitorv1.DeviceNode) bool { return plain.Equal(have, want) }) {
			return false
		}
	}
	return true
}

// unchangeable is the error of a change that a domain that runs cannot have.
func unchangeable(def *davitv1.Domain, xmlPath, message string) error {
	return &domain.Error{
		Code: codes.FailedPrecondition, Reason: davitv1.ErrorReason_ERROR_REASON_CONFIG_UNSUPPORTED,
		Op: "update domain", Subject: def.GetName(), Message: xmlPath + ": " + message, Detail: map[string]string{"path": xmlPath},
	}
}

// checkChanged refuses a device that is there and whose definition is another now: a guest that uses it would not be asked.
func checkChanged(now, next *davitv1.Domain) error {
	have := devicesOf(now)
	for key, d := range devicesOf(next) {
		if before, there := have[key]; there && !proto.Equal(before.message, d.message) {
			return unchangeable(next, d.xmlPath, "it cannot be changed while the domain runs: detach it and attach it anew")
		}
	}
	return nil
}

// device is one that is made of nodes or mounts.
type device struct {
	xmlPath string
	message proto.Message
}

// devicesOf are the disks, filesystems and host devices of a definition, by what tells them apart. Interfaces are made elsewhere.
func devicesOf(def *davitv1.Domain) map[string]device {
	all := make(map[string]device)
	for i, d := range def.GetDevices().GetDisk() {
		all[keyOf("disk", d.GetAlias(), d.GetTargetDev())] = device{fmt.Sprintf("/domain/devices/disk[%d]", i+1), d}
	}
	for i, f := range def.GetDevices().GetFilesystem() {
		all[keyOf("filesystem", f.GetAlias(), f.GetTargetDir())] = device{fmt.Sprintf("/domain/devices/filesystem[%d]", i+1), f}
	}
	for i, h := range def.GetDevices().GetHostdev() {
		if n, ok := hostdevNeed(i, h); ok {
			all[n.key] = device{fmt.Sprintf("/domain/devices/hostdev[%d]", i+1), h}
		}
	}
	return all
}

// sameFurniture tells whether two definitions have the same disks, filesystems and host devices.
func sameFurniture(a, b *davitv1.Domain) bool {
	same := func(x, y proto.Message) bool { return proto.Equal(x, y) }
	d, e := a.GetDevices(), b.GetDevices()
	return slices.EqualFunc(d.GetDisk(), e.GetDisk(), func(x, y *davitv1.Disk) bool { return same(x, y) }) &&
		slices.EqualFunc(d.GetFilesystem(), e.GetFilesystem(), func(x, y *davitv1.Filesystem) bool { return same(x, y) }) &&
		slices.EqualFunc(d.GetHostdev(), e.GetHostdev(), func(x, y *davitv1.Hostdev) bool { return same(x, y) })
}
