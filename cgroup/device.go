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

// deviceKey is what a rule of version 1 is about.
type deviceKey struct {
	kind         DeviceType
	major, minor int64
}

// devices1 makes the list of allowed devices that of the limits. One that is not of our making allows everything, and is closed
// first; after that a device that was allowed and stays so is so at each moment, and no other ever is.
func devices1(f *folder, l Limits) error {
	var keys []deviceKey
	wanted := make(map[deviceKey]int32)
	for _, r := range l.Devices {
		if err := r.check(); err != nil {
			return err
		}
		// "a" with numbers or without all access is taken for everything by version 1, so it is said in two rules.
		kinds := []DeviceType{r.Type}
		if r.Type == AnyDevice {
			kinds = []DeviceType{CharDevice, BlockDevice}
		}
		for _, kind := range kinds {
			k := deviceKey{kind, r.Major, r.Minor}
			if _, twice := wanted[k]; !twice {
				keys = append(keys, k)
			}
			wanted[k] |= accessMask(r.Access)
		}
	}
	text, err := f.read("devices.list")
	if err != nil {
		return err
	}
	have, open, err := parseDevices(text)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.join("devices.list"), err)
	}
	if open {
		if err := f.write("devices.deny", "a"); err != nil {
			return err
		}
	}
	var allow, deny []string
	for _, k := range keys {
		allow = addRule(allow, k, wanted[k]&^have[k])
	}
	for k, access := range have {
		deny = addRule(deny, k, access&^wanted[k])
	}
	if err := f.writeEach("devices.allow", allow); err != nil {
		return err
	}
	return f.writeEach("devices.deny", deny)
}

// addRule adds a rule, if there is something to be said.
func addRule(rules []string, k deviceKey, access int32) []string {
	if access == 0 {
		return rules
	}
	return append(rules, DeviceRule{Type: k.kind, Major: k.major, Minor: k.minor, Access: accessText(access)}.String())
}

// parseDevices reads a list of allowed devices; open is one that allows everything.
func parseDevices(text string) (list map[deviceKey]int32, open bool, err error) {
	list = make(map[deviceKey]int32)
	for line := range strings.Lines(text) {
		word := fields(line)
		if len(word) != 3 || len(word[0]) != 1 {
			return nil, false, fmt.Errorf("line %.100q is no rule", line)
		}
		if DeviceType(word[0][0]) == AnyDevice {
			return nil, true, nil
		}
		major, minor, _ := strings.Cut(word[1], ":")
		k := deviceKey{kind: DeviceType(word[0][0])}
		if k.major, err = parseDeviceNumber(major); err != nil {
			return nil, false, err
		}
		if k.minor, err = parseDeviceNumber(minor); err != nil {
			return nil, false, err
		}
		list[k] |= accessMask(word[2])
	}
	return list, false, nil
}

func parseDeviceNumber(text string) (int64, error) {
	if text == "*" {
		return AnyNumber, nil
	}
	return strconv.ParseInt(text, 10, 32)
}

// accessText is an access in letters.
func accessText(mask int32) string {
	var b strings.Builder
	for _, c := range []string{"r", "w", "m"} {
		if mask&accessMask(c) != 0 {
			b.WriteString(c)
		}
	}
	return b.String()
}
