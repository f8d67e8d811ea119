package cli

import (
	"context"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) domblkstat() command {
	var name, device string
	var human bool
	return command{
		name: "domblkstat", help: "get device block stats for a domain",
		operands: []operand{domainOperand(&name), {name: "device", help: "block device; all together when absent", one: &device, optional: true}},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&human, "human", false, "print a more human readable output")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			counted, err := a.blockCounters(ctx, name, device)
			if err != nil {
				return failed(err, "Failed to get block stats for domain '%s' device '%s'", cell(name), cell(device))
			}
			if a.notation != text {
				return a.show(counted)
			}
			a.printBlockNumbers(counted, device, human)
			return nil
		},
	}
}

// blockCounters are those of a disk of an active domain or, if none is named, of all its disks together.
func (a *app) blockCounters(ctx context.Context, name, device string) (*davitv1.BlockCounters, error) {
	_, info, err := a.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	if info.GetId() == 0 {
		return nil, invalidState("domain is not running")
	}
	all, err := a.disks(ctx, info.GetUuid(), false)
	if err != nil {
		return nil, err
	}
	if device != "" {
		found, err := listedDisk(all, device)
		if err == nil && found.GetCounters() == nil {
			err = invalidState("what goes through disk '" + cell(device) + "' is not counted")
		}
		return found.GetCounters(), err
	}
	total := &davitv1.BlockCounters{}
	for _, d := range all {
		total.ReadRequests += d.GetCounters().GetReadRequests()
		total.ReadBytes += d.GetCounters().GetReadBytes()
		total.WriteRequests += d.GetCounters().GetWriteRequests()
		total.WrittenBytes += d.GetCounters().GetWrittenBytes()
	}
	return total, nil
}

// printBlockNumbers prints counters as virsh does: the device before each, empty for all of them, or once, for people.
func (a *app) printBlockNumbers(c *davitv1.BlockCounters, device string, human bool) {
	explained := map[string]string{
		"rd_req": "number of read operations:", "rd_bytes": "number of bytes read:",
		"wr_req": "number of write operations:", "wr_bytes": "number of bytes written:",
	}
	if human {
		a.print("Device: %s\n", cell(device))
	}
	for _, s := range blockNumbers(c) {
		if human {
			a.print(" %-31s %d\n", explained[s.name], s.value)
		} else {
			a.print("%s %s %d\n", cell(device), s.name, s.value)
		}
	}
}

// blockNumbers are the counters of a disk, with virsh's names and in its order.
func blockNumbers(c *davitv1.BlockCounters) []statistic {
	return []statistic{
		{"rd_req", c.GetReadRequests()},
		{"rd_bytes", c.GetReadBytes()},
		{"wr_req", c.GetWriteRequests()},
		{"wr_bytes", c.GetWrittenBytes()},
	}
}
