package monitor

import (
	"fmt"
	"os"

	"github.com/davitd/davit/driver/monitor/wire"
	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// heldFiles are what is held open for a container, by name.
type heldFiles map[string]*os.File

// holdFiles pairs the names of a plan with the files that came with it. With an error the files are still the caller's.
func holdFiles(plan *monitorv1.Plan, files []*os.File) (heldFiles, error) {
	names := plan.GetHeld()
	if len(names) != len(files) {
		return nil, refuse("hold descriptors", monitorv1.ErrorKind_ERROR_KIND_INVALID,
			fmt.Sprintf("there are %d descriptors of %d names", len(files), len(names)))
	}
	held := make(heldFiles, len(names))
	for i, name := range names {
		if held[name] != nil {
			return nil, refuse("hold descriptors", monitorv1.ErrorKind_ERROR_KIND_INVALID, fmt.Sprintf("%q is named twice", name))
		}
		held[name] = files[i]
	}
	return held, nil
}

// of are the files of a plan, in its order.
func (h heldFiles) of(plan *monitorv1.Plan) []*os.File {
	files := make([]*os.File, 0, len(plan.GetHeld()))
	for _, name := range plan.GetHeld() {
		files = append(files, h[name])
	}
	return files
}

// revised is what is held by a plan that follows, of what is held and what comes in addition.
func (h heldFiles) revised(revise *monitorv1.Revise, files []*os.File) (heldFiles, error) {
	const operation = "hold descriptors"
	names := revise.GetHold()
	if len(names) != len(files) {
		return nil, refuse(operation, monitorv1.ErrorKind_ERROR_KIND_INVALID,
			fmt.Sprintf("there are %d descriptors of %d names", len(files), len(names)))
	}
	fresh := make(heldFiles, len(names))
	for i, name := range names {
		if h[name] != nil || fresh[name] != nil {
			return nil, refuse(operation, monitorv1.ErrorKind_ERROR_KIND_INVALID, fmt.Sprintf("%q is held already", name))
		}
		fresh[name] = files[i]
	}
	next := make(heldFiles, len(revise.GetPlan().GetHeld()))
	for _, name := range revise.GetPlan().GetHeld() {
		if next[name] = h[name]; next[name] == nil {
			next[name] = fresh[name]
		}
		if next[name] == nil {
			return nil, refuse(operation, monitorv1.ErrorKind_ERROR_KIND_INVALID, fmt.Sprintf("%q is not held", name))
		}
	}
	for _, name := range names {
		if next[name] == nil {
			return nil, refuse(operation, monitorv1.ErrorKind_ERROR_KIND_INVALID, fmt.Sprintf("the plan does not name %q", name))
		}
	}
	return next, nil
}

// close lets go of all.
func (h heldFiles) close() {
	for _, f := range h {
		wire.CloseAll([]*os.File{f})
	}
}

// closeBut lets go of what others do not name.
func (h heldFiles) closeBut(others heldFiles) {
	for name, f := range h {
		if others[name] != f {
			wire.CloseAll([]*os.File{f})
		}
	}
}
