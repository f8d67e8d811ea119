package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// DefaultIOWeight is the weight of a group that was given none, in every version.
const DefaultIOWeight = 100

// IODevice is the share and the bandwidth of one block device of the host.
type IODevice struct {
	// Major and Minor numbers of the device.
	Major, Minor uint32
	// Weight against siblings on this device, 1 to 1000; 0 is that of the group.
	Weight uint64
	// ReadIOPS, WriteIOPS, ReadBytes and WriteBytes are limits a second; 0 is without limit.
	ReadIOPS, WriteIOPS, ReadBytes, WriteBytes uint64
}

// number is the device as control files name it: "8:0".
func (d IODevice) number() string {
	return strconv.FormatUint(uint64(d.Major), 10) + ":" + strconv.FormatUint(uint64(d.Minor), 10)
}

// isLimited tells whether the device has a limit beside its weight.
func (d IODevice) isLimited() bool {
	return d.ReadIOPS != 0 || d.WriteIOPS != 0 || d.ReadBytes != 0 || d.WriteBytes != 0
}

// The files that weights are written to, each of which a kernel may lack: those of BFQ, which share out a device that has it
// as its scheduler, and those of the schedulers before it and the cost model after it. A weight is the same number in all of
// them, for all are shares against siblings' of which 100 is the default.
var (
	weightFiles1       = []string{"blkio.bfq.weight", "blkio.weight"}
	deviceWeightFiles1 = []string{"blkio.bfq.weight_device", "blkio.weight_device"}
	weightFiles2       = []string{"io.bfq.weight", "io.weight"}
)

// throttles are the files of version 1 with the limits of devices, one file a limit.
var throttles = []struct {
	file  string
	limit func(IODevice) uint64
}{
	{"blkio.throttle.read_iops_device", func(d IODevice) uint64 { return d.ReadIOPS }},
	{"blkio.throttle.write_iops_device", func(d IODevice) uint64 { return d.WriteIOPS }},
	{"blkio.throttle.read_bps_device", func(d IODevice) uint64 { return d.ReadBytes }},
	{"blkio.throttle.write_bps_device", func(d IODevice) uint64 { return d.WriteBytes }},
}

func ioWeight1(f *folder, l Limits) error { return f.weigh(weightFiles1, *l.IOWeight) }

func ioWeight2(f *folder, l Limits) error { return f.weigh(weightFiles2, *l.IOWeight) }

// weigh writes the weight of a group to those of files that there are. Where there are none the default holds anyway.
func (f *folder) weigh(files []string, weight uint64) error {
	there := f.present(files)
	if len(there) == 0 && weight != DefaultIOWeight {
		return fmt.Errorf("write %d to %s of %s: %w", weight, strings.Join(files, " or "), f.path, ErrNoKnob)
	}
	for _, file := range there {
		if err := f.write(file, strconv.FormatUint(weight, 10)); err != nil {
			return err
		}
	}
	return nil
}

// present are those of files that this kernel has.
func (f *folder) present(files []string) []string {
	return slices.DeleteFunc(slices.Clone(files), func(file string) bool { return !f.has(file) })
}

// ioDevices1 makes the weights and limits of devices those of a list, and takes away those of all others.
func ioDevices1(f *folder, l Limits) error {
	for _, t := range throttles {
		if err := f.eachDevice(t.file, "0", l.IODevices, func(d IODevice) string {
			if n := t.limit(d); n != 0 {
				return strconv.FormatUint(n, 10)
			}
			return ""
		}); err != nil {
			return err
		}
	}
	return f.weighDevices(deviceWeightFiles1, l.IODevices)
}

// ioDevices2 is ioDevices1 in version 2, where one file has all limits.
func ioDevices2(f *folder, l Limits) error {
	const none = "rbps=max wbps=max riops=max wiops=max"
	if err := f.eachDevice("io.max", none, l.IODevices, func(d IODevice) string {
		if !d.isLimited() {
			return ""
		}
		word := func(n uint64) string {
			if n == 0 {
				n = Unlimited
			}
			return number2(n)
		}
		return fmt.Sprintf("rbps=%s wbps=%s riops=%s wiops=%s",
			word(d.ReadBytes), word(d.WriteBytes), word(d.ReadIOPS), word(d.WriteIOPS))
	}); err != nil {
		return err
	}
	return f.weighDevices(weightFiles2, l.IODevices)
}

// eachDevice makes a file with a line a device hold what value gives for each of a list, and nothing of other devices: none
// is how that is written. A device without a value counts as another.
func (f *folder) eachDevice(file, none string, list []IODevice, value func(IODevice) string) error {
	wanted := make(map[string]string, len(list))
	for _, d := range list {
		if v := value(d); v != "" {
			wanted[d.number()] = v
		}
	}
	now, err := f.read(file)
	if errors.Is(err, fs.ErrNotExist) && len(wanted) > 0 {
		return fmt.Errorf("limit devices by %s: %w", f.join(file), ErrNoKnob)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, number := range deviceNumbers(now) {
		if wanted[number] != "" {
			continue
		}
		// One that was taken out of the host has no limits any more.
		if err := f.write(file, number+" "+none); err != nil && !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	for _, d := range list {
		if v := wanted[d.number()]; v != "" {
			if err := f.write(file, d.number()+" "+v); err != nil {
				return err
			}
		}
	}
	return nil
}

// weighDevices makes the weights of devices those of a list, after all were taken away. A device has a scheduler, and so one
// of the files or none for its weight: one that takes it is enough.
func (f *folder) weighDevices(files []string, list []IODevice) error {
	there := f.present(files)
	weighed := slices.DeleteFunc(slices.Clone(list), func(d IODevice) bool { return d.Weight == 0 })
	if len(there) == 0 && len(weighed) > 0 {
		return fmt.Errorf("weigh devices by %s of %s: %w", strings.Join(files, " or "), f.path, ErrNoKnob)
	}
	for _, file := range there {
		if err := f.eachDevice(file, "default", nil, nil); err != nil {
			return err
		}
	}
	for _, d := range weighed {
		if err := f.weighDevice(there, d); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) weighDevice(files []string, d IODevice) error {
	var errs []error
	for _, file := range files {
		err := f.write(file, d.number()+" "+strconv.FormatUint(d.Weight, 10))
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%w: %w (the scheduler of the device knows no weights; bfq does)", ErrNoKnob, err)
	}
	return err
}

// deviceNumbers are the devices that a file has lines about.
func deviceNumbers(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		number, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.Contains(number, ":") {
			list = append(list, number)
		}
	}
	return list
}
