package launch

import (
	"strconv"
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

// onto is a step that mounts something at a place.
//
//go:noinline
func onto(verb, what, where string) step {
	return step{operation: verb + quote(what) + " on", object: where}
}

// name says what an operation does and to what. Here and elsewhere it is looked at once which operation it is: to ask for each kind
// would be a good part of a monitor's program.
func name(op *monitorv1.Operation) step {
	switch o := op.GetStep().(type) {
	case *monitorv1.Operation_RootBind:
		return step{operation: "mount root", object: o.RootBind.GetSource()}
	case *monitorv1.Operation_RootOverlay:
		return step{operation: "mount root overlay", object: strings.Join(o.RootOverlay.GetLower(), ":")}
	case *monitorv1.Operation_RootImage:
		return step{operation: "mount root image", object: o.RootImage.GetHeld()}
	case *monitorv1.Operation_Image:
		return onto("mount image ", o.Image.GetHeld(), o.Image.GetTarget())
	case *monitorv1.Operation_Bind:
		return onto("bind ", o.Bind.GetSource(), o.Bind.GetTarget())
	case *monitorv1.Operation_InnerBind:
		return onto("bind inner ", o.InnerBind.GetSource(), o.InnerBind.GetTarget())
	case *monitorv1.Operation_Overlay:
		return onto("mount overlay of ", o.Overlay.GetLower(), o.Overlay.GetTarget())
	case *monitorv1.Operation_Tmpfs:
		return step{operation: "mount tmpfs", object: o.Tmpfs.GetTarget()}
	case *monitorv1.Operation_KernelFilesystem:
		return step{operation: "mount " + kernelName(o.KernelFilesystem.GetType()), object: o.KernelFilesystem.GetTarget()}
	case *monitorv1.Operation_Dev:
		return step{operation: "mount dev", object: "/dev"}
	case *monitorv1.Operation_ConsoleBind:
		return step{operation: "bind console " + strconv.Itoa(int(o.ConsoleBind.GetConsole())), object: "/dev/" + o.ConsoleBind.GetName()}
	case *monitorv1.Operation_Mask:
		return step{operation: "mask", object: o.Mask.GetPath()}
	case *monitorv1.Operation_ReadOnly:
		return step{operation: "make read-only", object: o.ReadOnly.GetPath()}
	case *monitorv1.Operation_Hostname:
		return step{operation: "set host name", object: o.Hostname.GetName()}
	case *monitorv1.Operation_LoopbackUp:
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
