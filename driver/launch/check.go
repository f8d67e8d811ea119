package launch

import (
	"path"
	"slices"
	"strings"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Check tells whether a plan makes sense, before anything is done. The error is an [*Error] of kind INVALID.
func Check(plan *monitorv1.Plan) error {
	steps := stepsOf(plan)
	for i, op := range plan.GetOperations() {
		if err := checkOperation(plan, i, op, steps[i]); err != nil {
			return err
		}
	}
	if err := checkShared(plan); err != nil {
		return err
	}
	if err := checkHeld(plan); err != nil {
		return err
	}
	if len(plan.GetOperations()) == 0 {
		return invalid(step{operation: "check plan"}, "there is no root")
	}
	if len(plan.GetConsoles()) > 0 && !hasDev(plan) {
		return invalid(step{operation: "check plan"}, "there are consoles, but no dev")
	}
	if err := checkProcess(plan.GetInit()); err != nil {
		return err
	}
	if n := int(plan.GetInit().GetConsole()); n > len(plan.GetConsoles()) {
		return invalid(step{operation: "check plan"}, "init wants console %d of %d", n, len(plan.GetConsoles()))
	}
	_, err := ownerOf(plan)
	return err
}

func hasDev(plan *monitorv1.Plan) bool {
	for _, op := range plan.GetOperations() {
		if op.GetDev() != nil {
			return true
		}
	}
	return false
}

func isRoot(op *monitorv1.Operation) bool {
	return op.GetRootBind() != nil || op.GetRootOverlay() != nil || op.GetRootImage() != nil
}

func checkOperation(plan *monitorv1.Plan, i int, op *monitorv1.Operation, s step) error {
	if isRoot(op) != (i == 0) {
		return invalid(s, "the root comes first, and once")
	}
	if err := checkImage(plan, op, s); err != nil {
		return err
	}
	for _, target := range targetsOf(op) {
		if !path.IsAbs(target) || path.Clean(target) != target || target == "/" || strings.ContainsRune(target, 0) {
			return invalid(s, "%q is not a clean absolute path below the root", target)
		}
	}
	switch {
	case op.GetStep() == nil:
		return invalid(s, "not known")
	case op.GetKernelFilesystem() != nil && kernelName(op.GetKernelFilesystem().GetType()) == "":
		return invalid(s, "filesystem type %d is not known", op.GetKernelFilesystem().GetType())
	case op.GetConsoleBind() != nil && int(op.GetConsoleBind().GetConsole()) >= len(plan.GetConsoles()):
		return invalid(s, "there are %d consoles", len(plan.GetConsoles()))
	case op.GetHostname() != nil && !plan.GetNamespaces().GetUts():
		return invalid(s, "there is no UTS namespace of its own")
	case op.GetLoopbackUp() != nil && !plan.GetNamespaces().GetNet():
		return invalid(s, "there is no network namespace of its own")
	case !allBelow(op.GetReadOnly().GetPath(), op.GetReadOnly().GetExcept()):
		return invalid(s, "not all of %q are below it", op.GetReadOnly().GetExcept())
	case op.GetRootOverlay() != nil && len(op.GetRootOverlay().GetLower()) == 0:
		return invalid(s, "there is no folder below it")
	}
	return nil
}

// allBelow tells whether paths lie below one.
func allBelow(path string, list []string) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !strings.HasPrefix(s, path+"/") })
}

// targetsOf are the paths of the container that an operation names.
func targetsOf(op *monitorv1.Operation) []string {
	switch {
	case op.GetBind() != nil:
		return []string{op.GetBind().GetTarget()}
	case op.GetImage() != nil:
		return []string{op.GetImage().GetTarget()}
	case op.GetInnerBind() != nil:
		return []string{op.GetInnerBind().GetSource(), op.GetInnerBind().GetTarget()}
	case op.GetOverlay() != nil:
		return []string{op.GetOverlay().GetTarget()}
	case op.GetTmpfs() != nil:
		return []string{op.GetTmpfs().GetTarget()}
	case op.GetKernelFilesystem() != nil:
		return []string{op.GetKernelFilesystem().GetTarget()}
	case op.GetMask() != nil:
		return []string{op.GetMask().GetPath()}
	case op.GetReadOnly() != nil:
		return append([]string{op.GetReadOnly().GetPath()}, op.GetReadOnly().GetExcept()...)
	}
	return nil
}

func checkProcess(p *monitorv1.Process) error {
	s := step{operation: "check process"}
	if len(p.GetArgv()) == 0 || p.GetArgv()[0] == "" {
		return invalid(s, "there is no program")
	}
	for _, list := range [][]string{p.GetArgv(), p.GetEnv(), {p.GetCwd()}} {
		for _, text := range list {
			if strings.ContainsRune(text, 0) {
				return invalid(s, "%q holds a NUL", text)
			}
		}
	}
	if cwd := p.GetCwd(); cwd != "" && !path.IsAbs(cwd) {
		return invalid(s, "working directory %q is not absolute", cwd)
	}
	return checkMemoryPolicy(p.GetMemoryPolicy())
}
