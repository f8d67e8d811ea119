package launch

import (
	"path"
	"slices"
	"strings"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
	"github.com/davitd/davit/proto/plain"
)

// opRevise is what is tried where nothing more can be told.
const opRevise = "change devices"

// CheckRevision tells whether a change of a container makes sense that was made by a plan, before anything is done. The error is an
// [*Error] of kind INVALID.
func CheckRevision(plan *monitorv1.Plan, r *monitorv1.Revise) error {
	next, s := r.GetPlan(), step{operation: opRevise}
	if next == nil {
		return invalid(s, "there is no plan of the boots that follow")
	}
	if err := Check(next); err != nil {
		return err
	}
	if !plain.Equal(fixed(plan), fixed(next)) {
		return invalid(s, "the plan differs in what a container keeps")
	}
	if err := checkRevisedNodes(r); err != nil {
		return err
	}
	return checkRevisedMounts(r)
}

// fixed is what two plans of one container have in common: all but the devices, with whether there are interfaces to wait
// for at a boot, and the memory, which is the policy's to change.
func fixed(plan *monitorv1.Plan) *monitorv1.Plan {
	kept := plain.Clone(plan)
	kept.Held, kept.Furnish, kept.MemoryLimitBytes = nil, false, 0
	kept.Operations = slices.DeleteFunc(kept.Operations, func(op *monitorv1.Operation) bool { return removable(op) != "" })
	for _, op := range kept.Operations {
		if dev := op.GetDev(); dev != nil {
			dev.Nodes = nil
		}
	}
	return kept
}

// checkRevisedNodes refuses nodes that do not come and go as the plan says.
func checkRevisedNodes(r *monitorv1.Revise) error {
	nodes := nodesOf(r.GetPlan())
	if len(r.GetAddNodes()) > 0 && !hasDev(r.GetPlan()) {
		return invalid(step{operation: opRevise}, "the container has no /dev of its own")
	}
	for _, n := range r.GetAddNodes() {
		same := func(o *monitorv1.DeviceNode) bool {
			return o.GetName() == n.GetName() && o.GetBlock() == n.GetBlock() && o.GetMajor() == n.GetMajor() &&
				o.GetMinor() == n.GetMinor() && o.GetMode() == n.GetMode()
		}
		if !slices.ContainsFunc(nodes, same) {
			return invalid(nodeStep("add node", n.GetName()), "the plan does not have it")
		}
	}
	for _, name := range r.GetRemoveNodes() {
		added := func(n *monitorv1.DeviceNode) bool { return n.GetName() == name }
		if slices.ContainsFunc(nodes, added) && !slices.ContainsFunc(r.GetAddNodes(), added) {
			return invalid(nodeStep("remove node", name), "the plan still has it")
		}
	}
	return nil
}

// checkRevisedMounts refuses mounts that cannot come to a container that runs.
func checkRevisedMounts(r *monitorv1.Revise) error {
	for i, op := range r.GetAddMounts() {
		if err := checkOperation(r.GetPlan(), i+1, op, name(op)); err != nil {
			return err
		}
		if removable(op) == "" {
			return invalid(name(op), "it cannot be done while the container runs")
		}
	}
	for _, target := range r.GetRemoveMounts() {
		if !path.IsAbs(target) || path.Clean(target) != target || target == "/" || strings.ContainsRune(target, 0) {
			return invalid(step{operation: "unmount", object: target}, "it is not a clean absolute path below the root")
		}
	}
	return nil
}

// nodesOf are the device nodes of a plan.
func nodesOf(plan *monitorv1.Plan) []*monitorv1.DeviceNode {
	for _, op := range plan.GetOperations() {
		if op.GetDev() != nil {
			return op.GetDev().GetNodes()
		}
	}
	return nil
}

func nodeStep(operation, name string) step { return step{operation: operation, object: "/dev/" + name} }
