package lxctools

import (
	"math"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// maxIOWeight is the greatest weight of a definition.
const maxIOWeight = 1000

// device is the tuning of a block device, which cgroups know by its number.
func (r *reading) device(s setting, number string) (*davitv1.BlkioDevice, bool) {
	major, minor, ok := strings.Cut(number, ":")
	if !ok || !isDigits(major) || !isDigits(minor) {
		r.fault(s, s.value, `begins with no number of a device: "8:0"`)
		return nil, false
	}
	if r.def.Blkiotune == nil {
		r.def.Blkiotune = &davitv1.BlkioTune{}
	}
	if d, ok := r.blkio[number]; ok {
		return d, true
	}
	d := &davitv1.BlkioDevice{Path: "/dev/block/" + number} // where udev links a device by its number
	r.blkio[number] = d
	r.from(entry("blkiotune.device", len(r.def.Blkiotune.Device)), s)
	r.def.Blkiotune.Device = append(r.def.Blkiotune.Device, d)
	return d, true
}

func isDigits(s string) bool { return s != "" && len(s) < 10 && strings.Trim(s, "0123456789") == "" }

// ioWeight reads "500", "default 500" and "8:0 500".
func (r *reading) ioWeight(list []setting) {
	for _, s := range list {
		words := strings.Fields(s.value)
		switch {
		case len(words) == 2 && words[0] != "default":
			r.deviceWeight([]setting{s})
		case len(words) > 2, len(words) == 0:
			r.fault(s, s.value, `is not a weight: "500" or "8:0 500"`)
		default:
			if n, ok := r.weight(s, words[len(words)-1]); ok {
				if r.def.Blkiotune == nil {
					r.def.Blkiotune = &davitv1.BlkioTune{}
				}
				r.def.Blkiotune.Weight = n
				r.from("blkiotune.weight", s)
			}
		}
	}
}

// weight reads a weight; those of io.weight go further than a definition's.
func (r *reading) weight(s setting, text string) (uint32, bool) {
	n, ok := r.limit(s, text, 10000)
	if ok && n > maxIOWeight {
		r.warn(s, "weight %d is above %d, which it becomes", n, maxIOWeight)
		n = maxIOWeight
	}
	return uint32(n), ok
}

func (r *reading) deviceWeight(list []setting) {
	for _, s := range list {
		words := strings.Fields(s.value)
		if len(words) != 2 {
			r.fault(s, s.value, `is not a device and a weight: "8:0 500"`)
			continue
		}
		if d, ok := r.device(s, words[0]); ok {
			if n, ok := r.weight(s, words[1]); ok {
				d.Weight = n
				r.spelt(d.GetPath()+" weight", s, words[1])
			}
		}
	}
}

// throttle reads "8:0 1048576" of one of the four limits.
func (r *reading) throttle(list []setting) {
	for _, s := range list {
		limit, ok := map[string]string{
			"read_bps_device": "rbps", "write_bps_device": "wbps", "read_iops_device": "riops", "write_iops_device": "wiops",
		}[strings.TrimPrefix(s.key, "lxc.cgroup.blkio.throttle.")]
		words := strings.Fields(s.value)
		switch {
		case !ok:
			r.warn(s, "definitions have no word for this limit")
		case len(words) != 2:
			r.fault(s, s.value, `is not a device and a rate: "8:0 1048576"`)
		default:
			if d, ok := r.device(s, words[0]); ok {
				r.rate(s, d, limit, words[1])
			}
		}
	}
}

// ioMax reads "8:0 rbps=1048576 wiops=120".
func (r *reading) ioMax(list []setting) {
	for _, s := range list {
		words := strings.Fields(s.value)
		if len(words) < 2 {
			r.fault(s, s.value, `is not a device and its limits: "8:0 rbps=1048576 wiops=120"`)
			continue
		}
		d, ok := r.device(s, words[0])
		if !ok {
			continue
		}
		for _, word := range words[1:] {
			limit, rate, _ := strings.Cut(word, "=")
			r.rate(s, d, limit, rate)
		}
	}
}

// rate sets one limit of a device.
func (r *reading) rate(s setting, d *davitv1.BlkioDevice, limit, text string) {
	if unlimited(text) {
		return
	}
	bytes, ok := parseBytes(text)
	if !ok || strings.HasSuffix(limit, "iops") && bytes > math.MaxUint32 {
		r.fault(s, text, "is not a rate: a number of bytes, or of operations below %d", uint64(math.MaxUint32)+1)
		return
	}
	r.spelt(d.GetPath()+" "+limit, s, text)
	switch limit {
	case "rbps":
		d.ReadBytesSec = bytes
	case "wbps":
		d.WriteBytesSec = bytes
	case "riops":
		d.ReadIopsSec = uint32(bytes)
	case "wiops":
		d.WriteIopsSec = uint32(bytes)
	default:
		r.fault(s, limit, "is not one of rbps, wbps, riops, wiops")
	}
}
