package launch

import (
	"fmt"
	"strings"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// stepsOf are the operations of a plan in words.
func stepsOf(plan *monitorv1.Plan) []step {
	steps := make([]step, len(plan.GetOperations()))
	for i, op := range plan.GetOperations() {
		steps[i] = name(op)
		steps[i].number = i + 1
	}
	return steps
}

// name says what an operation does and to what.
func name(op *monitorv1.Operation) step {
	switch {
	case op.GetRootBind() != nil:
		return step{operation: "mount root", object: op.GetRootBind().GetSource()}
	case op.GetRootOverlay() != nil:
		return step{operation: "mount root overlay", object: strings.Join(op.GetRootOverlay().GetLower(), ":")}
	case op.GetRootImage() != nil:
		return step{operation: "mount root image", object: op.GetRootImage().GetHeld()}
	case op.GetImage() != nil:
		return step{operation: "mount image " + op.GetImage().GetHeld(), object: op.GetImage().GetTarget()}
	case op.GetBind() != nil:
		return step{operation: "bind " + op.GetBind().GetSource(), object: op.GetBind().GetTarget()}
	case op.GetInnerBind() != nil:
		return step{operation: "bind inner " + op.GetInnerBind().GetSource(), object: op.GetInnerBind().GetTarget()}
	case op.GetOverlay() != nil:
		return step{operation: "mount overlay of " + op.GetOverlay().GetLower(), object: op.GetOverlay().GetTarget()}
	case op.GetTmpfs() != nil:
		return step{operation: "mount tmpfs", object: op.GetTmpfs().GetTarget()}
	case op.GetKernelFilesystem() != nil:
		k := op.GetKernelFilesystem()
		return step{operation: "mount " + kernelName(k.GetType()), object: k.GetTarget()}
	case op.GetDev() != nil:
		return step{operation: "mount dev", object: "/dev"}
	case op.GetConsoleBind() != nil:
		c := op.GetConsoleBind()
		return step{operation: fmt.Sprintf("bind console %d", c.GetConsole()), object: "/dev/" + c.GetName()}
	case op.GetMask() != nil:
		return step{operation: "mask", object: op.GetMask().GetPath()}
	case op.GetReadOnly() != nil:
		return step{operation: "make read-only", object: op.GetReadOnly().GetPath()}
	case op.GetHostname() != nil:
		return step{operation: "set host name", object: op.GetHostname().GetName()}
	case op.GetLoopbackUp() != nil:
		return step{operation: "bring up", object: "lo"}
	}
	return step{operation: "unknown operation"}
}

// kernelName is the name of a filesystem to the kernel, or "" if there is none.
func kernelName(k monitorv1.KernelFilesystemType) string {
	switch k {
	case monitorv1.KernelFilesystemType_KERNEL_FILESYSTEM_TYPE_PROC:
		return "proc"
	case monitorv1.KernelFilesystemType_KERNEL_FILESYSTEM_TYPE_SYSFS:
		return "sysfs"
	case monitorv1.KernelFilesystemType_KERNEL_FILESYSTEM_TYPE_CGROUP2:
		return "cgroup2"
	case monitorv1.KernelFilesystemType_KERNEL_FILESYSTEM_TYPE_UNSPECIFIED:
	}
	return ""
}
