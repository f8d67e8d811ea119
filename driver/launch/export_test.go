package launch

import (
	"os"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// LaunchFailingAt launches a plan whose operation of the given index fails when it is prepared.
func LaunchFailingAt(plan *monitorv1.Plan, operation int, err error) (*Guest, error) {
	return launch(plan, Descriptors{}, faults{operation: func(index int) error {
		if index == operation {
			return err
		}
		return nil
	}})
}

// LaunchBreaking launches a plan of whose program one instruction is a system call that does not exist. It gives the
// number of instructions, and the operation of the plan that the broken one belongs to.
func LaunchBreaking(plan *monitorv1.Plan, broken int) (guest *Guest, count, step int, err error) {
	return LaunchBreakingWith(plan, Descriptors{}, broken)
}

// LaunchBreakingWith is LaunchBreaking with descriptors.
func LaunchBreakingWith(plan *monitorv1.Plan, d Descriptors, broken int) (guest *Guest, count, step int, err error) {
	guest, err = launch(plan, d, faults{program: func(a *assembler) {
		count = len(a.code)
		if broken < count {
			in := &a.code[broken]
			in.trap, in.on = 1<<14, [3]branch{}
			step = a.steps[in.step].number
		}
	}})
	return guest, count, step, err
}

// ReviseFailingAt changes the devices of a container, and fails after a step, from 0. It tells whether it came so far.
func ReviseFailingAt(g *Guest, r *monitorv1.Revise, held []*os.File, step int, err error) (reached bool, failure error) {
	failure = ReviseFailing(g, r, held, step, func() error {
		reached = true
		return err
	})
	return reached, failure
}

// ReviseFailing changes the devices of a container, and fails after a step, from 0, as fail says.
func ReviseFailing(g *Guest, r *monitorv1.Revise, held []*os.File, step int, fail func() error) error {
	return g.revise(r, held, func(n int) error {
		if n != step {
			return nil
		}
		return fail()
	})
}

// Removable is the target of an operation whose mount may go.
func Removable(op *monitorv1.Operation) string { return removable(op) }

// AttachLayers makes launches make overlays as for kernels that want their layers attached, or not.
func AttachLayers(wanted bool) { attachLayers = wanted }

// Program is how much a plan's program takes of what is set aside for a usual one: what has grown was moved.
type Program struct{ Instructions, Arguments, Steps, Labels, Slots, Chunks int }

// Assembled gives that of a plan, and what is set aside.
func Assembled(plan *monitorv1.Plan) (took, room Program) {
	a := newAssembler()
	(&launcher{plan: plan, tree: &tree{plan: plan, mounts: make([]*os.File, len(plan.GetOperations()))}}).assemble(a, &lines{})
	return Program{len(a.code), len(a.args), len(a.steps), len(a.labels), a.used, len(a.chunks)},
		Program{cap(newAssembler().code), cap(newAssembler().args), cap(newAssembler().steps), cap(newAssembler().labels), slotCount, 1}
}

// AheadDescriptors is how many descriptors namespaces made ahead are.
var AheadDescriptors = 6 + len(settingFolders)

// AheadNumbers are the numbers of namespaces made ahead: user, network, IPC.
func AheadNumbers(a *Ahead) (numbers [3]uint64) {
	for i, f := range []*os.File{a.user, a.net, a.ipc} {
		var stat unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
			panic(err)
		}
		numbers[i] = stat.Ino
	}
	return numbers
}

// SpoilAheadEntry makes namespaces that cannot be entered of some that were made ahead.
func SpoilAheadEntry(a *Ahead) { spoil(a.ipc, a.uidMap) }

// SpoilAheadMap makes namespaces that cannot be mapped of some that were made ahead.
func SpoilAheadMap(a *Ahead) { spoil(a.gidMap, a.user) }

// spoil makes one descriptor lead where another does.
func spoil(f, to *os.File) {
	if err := unix.Dup3(int(to.Fd()), int(f.Fd()), unix.O_CLOEXEC); err != nil {
		panic(err)
	}
}
