package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) domblkinfo() command {
	var name, device string
	var human, every bool
	return command{
		name: "domblkinfo", help: "domain block device size information",
		operands: []operand{domainOperand(&name), {name: "device", help: "block device", one: &device, optional: true}},
		flags: func(f *pflag.FlagSet) {
			f.BoolVar(&human, "human", false, "human readable output")
			f.BoolVar(&every, "all", false, "display all block devices info")
		},
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			switch {
			case every && device != "":
				return usage("Options --all and --device are mutually exclusive")
			case !every && device == "":
				return usage("command 'domblkinfo' requires <device> option")
			}
			all, err := a.disks(ctx, name, false)
			if err != nil {
				return err
			}
			if every {
				return a.showSizes(all, human)
			}
			found, err := listedDisk(all, device)
			if err != nil {
				return err
			}
			if a.notation != text {
				return a.show(sparse{found})
			}
			size := sizesOf(found, human)
			a.print("%-15s %s\n%-15s %s\n%-15s %s\n", "Capacity:", size[0], "Allocation:", size[1], "Physical:", size[2])
			return nil
		},
	}
}

func (a *app) showSizes(all []*davitv1.BlockDeviceStatus, human bool) error {
	if a.notation != text {
		return a.show(rowsOf(all))
	}
	t := newTable("Target", "Capacity", "Allocation", "Physical")
	for _, d := range all {
		size := sizesOf(d, human)
		t.add(d.GetTarget(), size[0], size[1], size[2])
	}
	a.printTable(t)
	return nil
}

// sizesOf are capacity, allocation and physical size of a disk, each "-" if none is known.
func sizesOf(d *davitv1.BlockDeviceStatus, human bool) [3]string {
	numbers := [3]uint64{d.GetCapacityBytes(), d.GetAllocationBytes(), d.GetPhysicalBytes()}
	if numbers == [3]uint64{} {
		return [3]string{"-", "-", "-"}
	}
	var texts [3]string
	for i, n := range numbers {
		texts[i] = strconv.FormatUint(n, 10)
		if human {
			texts[i] = prettySize(n)
		}
	}
	return texts
}

// prettySize is a size as virsh writes it for people, with three digits after the point.
func prettySize(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	value, at := float64(n), 0
	for value >= 1024 && at < len(units)-1 {
		value /= 1024
		at++
	}
	return fmt.Sprintf("%.3f %s", value, units[at])
}
