package cgroup

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// DeviceType says which nodes a rule is about.
type DeviceType byte

// The types, as the version 1 files write them.
const (
	// AnyDevice is character and block devices.
	AnyDevice DeviceType = 'a'
	// CharDevice is character devices.
	CharDevice DeviceType = 'c'
	// BlockDevice is block devices.
	BlockDevice DeviceType = 'b'
)

// AnyNumber stands for all major or minor numbers.
const AnyNumber = -1

// DeviceRule allows devices.
type DeviceRule struct {
	// Type of the nodes.
	Type DeviceType
	// Major and Minor numbers, or [AnyNumber].
	Major, Minor int64
	// Access is what may be done: of "r", "w" and "m", for mknod.
	Access string
}

// String is the rule as version 1 writes it: "c 1:3 rwm".
func (r DeviceRule) String() string {
	number := func(n int64) string {
		if n == AnyNumber {
			return "*"
		}
		return strconv.FormatInt(n, 10)
	}
	return fmt.Sprintf("%c %s:%s %s", r.Type, number(r.Major), number(r.Minor), r.Access)
}

// check refuses what no kernel would take.
func (r DeviceRule) check() error {
	switch {
	case r.Type != AnyDevice && r.Type != CharDevice && r.Type != BlockDevice:
		return fmt.Errorf("read device rule %q: type %q is none of a, b, c", r, r.Type)
	case r.Major < AnyNumber || r.Major > math.MaxInt32 || r.Minor < AnyNumber || r.Minor > math.MaxInt32:
		return fmt.Errorf("read device rule %q: a device number is out of range", r)
	case r.Access == "" || strings.Trim(r.Access, "rwm") != "":
		return fmt.Errorf("read device rule %q: access %q must be of r, w and m", r, r.Access)
	}
	return nil
}

// devices1 denies all devices and then allows those of the list.
func devices1(f *folder, l Limits) error {
	for _, r := range l.Devices {
		if err := r.check(); err != nil {
			return err
		}
	}
	if err := f.write("devices.deny", "a"); err != nil {
		return err
	}
	for _, r := range l.Devices {
		// "a" with numbers or without all access is taken for everything by version 1, so it is said in two rules.
		rules := []DeviceRule{r}
		if r.Type == AnyDevice {
			rules = []DeviceRule{r, r}
			rules[0].Type, rules[1].Type = CharDevice, BlockDevice
		}
		for _, rule := range rules {
			if err := f.write("devices.allow", rule.String()); err != nil {
				return err
			}
		}
	}
	return nil
}
