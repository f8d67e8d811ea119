package launch

import (
	"fmt"
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
	switch op.GetStep().(type) {
	case *monitorv1.Operation_RootBind, *monitorv1.Operation_RootOverlay, *monitorv1.Operation_RootImage:
		return true
	}
	return false
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
	if fault := faultOf(plan, op); fault != "" {
		return invalid(s, "%s", fault)
	}
	return nil
}

// faultOf says what makes no sense about an operation; empty if nothing does.
func faultOf(plan *monitorv1.Plan, op *monitorv1.Operation) string {
	switch o := op.GetStep().(type) {
	case nil:
		return "not known"
	case *monitorv1.Operation_KernelFilesystem:
		if kernelName(o.KernelFilesystem.GetType()) == "" {
			return fmt.Sprintf("filesystem type %d is not known", o.KernelFilesystem.GetType())
		}
	case *monitorv1.Operation_ConsoleBind:
		if n := len(plan.GetConsoles()); int(o.ConsoleBind.GetConsole()) >= n {
			return fmt.Sprintf("there are %d consoles", n)
		}
	case *monitorv1.Operation_Hostname:
		if !plan.GetNamespaces().GetUts() {
			return "there is no UTS namespace of its own"
		}
	case *monitorv1.Operation_LoopbackUp:
		if !plan.GetNamespaces().GetNet() {
			return "there is no network namespace of its own"
		}
	case *monitorv1.Operation_ReadOnly:
		if !allBelow(o.ReadOnly.GetPath(), o.ReadOnly.GetExcept()) {
			return fmt.Sprintf("not all of %q are below it", o.ReadOnly.GetExcept())
		}
	case *monitorv1.Operation_RootOverlay:
		if len(o.RootOverlay.GetLower()) == 0 {
			return "there is no folder below it"
		}
	}
	return ""
}

// allBelow tells whether paths lie below one.
func allBelow(path string, list []string) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !strings.HasPrefix(s, path+"/") })
}

// targetsOf are the paths of the container that an operation names.
func targetsOf(op *monitorv1.Operation) []string {
	switch o := op.GetStep().(type) {
	case *monitorv1.Operation_Bind:
		return []string{o.Bind.GetTarget()}
	case *monitorv1.Operation_Image:
		return []string{o.Image.GetTarget()}
	case *monitorv1.Operation_InnerBind:
		return []string{o.InnerBind.GetSource(), o.InnerBind.GetTarget()}
	case *monitorv1.Operation_Overlay:
		return []string{o.Overlay.GetTarget()}
	case *monitorv1.Operation_Tmpfs:
		return []string{o.Tmpfs.GetTarget()}
	case *monitorv1.Operation_KernelFilesystem:
		return []string{o.KernelFilesystem.GetTarget()}
	case *monitorv1.Operation_Mask:
		return []string{o.Mask.GetPath()}
	case *monitorv1.Operation_ReadOnly:
		return append([]string{o.ReadOnly.GetPath()}, o.ReadOnly.GetExcept()...)
	}
	return nil
}

func checkProcess(p *monitorv1.Process) error {
	s := step{operation: "check process"}
	if len(p.GetArgv()) == 0 || p.GetArgv()[0] == "" {
		return invalid(s, "there is no program")
	}
	for _, list := range [][]string{p.GetArgv(), p.GetEnv(), {p.GetCwd(), p.GetApparmorProfile(), p.GetSelinuxContext()}} {
		for _, text := range list {
			if strings.ContainsRune(text, 0) {
				return invalid(s, "%q holds a NUL", text)
			}
		}
	}
	if cwd := p.GetCwd(); cwd != "" && !path.IsAbs(cwd) {
		return invalid(s, "working directory %q is not absolute", cwd)
	}
	if err := checkFilter(p, s); err != nil {
		return err
	}
	return checkMemoryPolicy(p.GetMemoryPolicy())
}
