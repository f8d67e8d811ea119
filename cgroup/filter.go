package cgroup

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// devices2 attaches a program that decides on every open and mknod. It stays attached as long as the cgroup lives. Where
// there was one already both decide until the old one is gone, so that no moment is without a policy.
func devices2(f *folder, l Limits) error {
	instructions, err := deviceFilter(l.Devices)
	if err != nil {
		return err
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "davit_devices", Type: ebpf.CGroupDevice, AttachType: ebpf.AttachCGroupDevice, License: "Apache-2.0",
		Instructions: instructions,
	})
	if err != nil {
		return fmt.Errorf("load device program for %s: %w", f.path, err)
	}
	defer func() { _ = program.Close() }()
	target := f.fd
	old, err := link.QueryPrograms(link.QueryOptions{Target: target, Attach: ebpf.AttachCGroupDevice})
	if err != nil {
		return fmt.Errorf("query device programs of %s: %w", f.path, err)
	}
	if err := link.RawAttachProgram(link.RawAttachProgramOptions{
		Target: target, Program: program, Attach: ebpf.AttachCGroupDevice, Flags: unix.BPF_F_ALLOW_MULTI,
	}); err != nil {
		return fmt.Errorf("attach device program to %s: %w", f.path, err)
	}
	for _, o := range old.Programs {
		if err := detach(target, o.ID); err != nil {
			return fmt.Errorf("detach device program from %s: %w", f.path, err)
		}
	}
	return nil
}

// detach removes one program from a cgroup of ours.
func detach(target int, id ebpf.ProgramID) error {
	program, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return err
	}
	defer func() { _ = program.Close() }()
	err = link.RawDetachProgram(link.RawDetachProgramOptions{Target: target, Program: program, Attach: ebpf.AttachCGroupDevice})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// deviceFilter is the program: the context (struct bpf_cgroup_dev_ctx) holds the type in the lower and the access in the
// upper half of its first word, then major and minor. Each rule is a block that jumps to the next where it does not
// match, and returns 1 where it does; at the end stands 0.
func deviceFilter(rules []DeviceRule) (asm.Instructions, error) {
	const kind, access, major, minor, scratch = asm.R2, asm.R3, asm.R4, asm.R5, asm.R0
	program := asm.Instructions{
		asm.LoadMem(kind, asm.R1, 0, asm.Word),
		asm.Mov.Reg(access, kind),
		asm.And.Imm(kind, 0xffff),
		asm.RSh.Imm(access, 16),
		asm.LoadMem(major, asm.R1, 4, asm.Word),
		asm.LoadMem(minor, asm.R1, 8, asm.Word),
	}
	mark := func(n int, first asm.Instruction) asm.Instruction {
		if n == 0 {
			return first
		}
		return first.WithSymbol("rule" + strconv.Itoa(n))
	}
	for i, r := range rules {
		if err := r.check(); err != nil {
			return nil, err
		}
		next := "rule" + strconv.Itoa(i+1)
		// What is asked beyond what the rule allows must be nothing.
		block := asm.Instructions{
			mark(i, asm.Mov.Reg(scratch, access)),
			asm.And.Imm(scratch, ^accessMask(r.Access)),
			asm.JNE.Imm(scratch, 0, next),
		}
		if r.Type != AnyDevice {
			number := int32(unix.BPF_DEVCG_DEV_CHAR)
			if r.Type == BlockDevice {
				number = unix.BPF_DEVCG_DEV_BLOCK
			}
			block = append(block, asm.JNE.Imm(kind, number, next))
		}
		if r.Major != AnyNumber {
			block = append(block, asm.JNE.Imm(major, int32(r.Major), next))
		}
		if r.Minor != AnyNumber {
			block = append(block, asm.JNE.Imm(minor, int32(r.Minor), next))
		}
		program = append(program, block...)
		program = append(program, asm.Mov.Imm(asm.R0, 1), asm.Return())
	}
	return append(program, mark(len(rules), asm.Mov.Imm(asm.R0, 0)), asm.Return()), nil
}

// accessMask is an access in the bits of the program's context.
func accessMask(access string) int32 {
	var mask int32
	for _, c := range access {
		switch c {
		case 'm':
			mask |= unix.BPF_DEVCG_ACC_MKNOD
		case 'r':
			mask |= unix.BPF_DEVCG_ACC_READ
		case 'w':
			mask |= unix.BPF_DEVCG_ACC_WRITE
		}
	}
	return mask
}
