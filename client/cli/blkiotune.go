package cli

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// defaultIOWeight is what the kernel gives without a word about it in the definition.
const defaultIOWeight = 100

// blkioLimit is what can be said of single devices: virsh's option, the word of its answer and the field.
type blkioLimit struct {
	option, name, help string
	get                func(*davitv1.BlkioDevice) uint64
	set                func(*davitv1.BlkioDevice, uint64)
	bits               int
}

func blkioLimits() []blkioLimit {
	return []blkioLimit{
		{
			"device-weights", "device_weight", "per-device IO Weights, in the form of /path/to/device,weight,...",
			func(d *davitv1.BlkioDevice) uint64 { return uint64(d.GetWeight()) },
			func(d *davitv1.BlkioDevice, n uint64) { d.Weight = uint32(n) }, 32,
		},
		{
			"device-read-iops-sec", "device_read_iops_sec", "per-device read I/O limit per second, in the form of /path/to/device,read_iops_sec,...",
			func(d *davitv1.BlkioDevice) uint64 { return uint64(d.GetReadIopsSec()) },
			func(d *davitv1.BlkioDevice, n uint64) { d.ReadIopsSec = uint32(n) }, 32,
		},
		{
			"device-write-iops-sec", "device_write_iops_sec", "per-device write I/O limit per second, in the form of /path/to/device,write_iops_sec,...",
			func(d *davitv1.BlkioDevice) uint64 { return uint64(d.GetWriteIopsSec()) },
			func(d *davitv1.BlkioDevice, n uint64) { d.WriteIopsSec = uint32(n) }, 32,
		},
		{
			"device-read-bytes-sec", "device_read_bytes_sec", "per-device bytes read per second, in the form of /path/to/device,read_bytes_sec,...",
			(*davitv1.BlkioDevice).GetReadBytesSec, func(d *davitv1.BlkioDevice, n uint64) { d.ReadBytesSec = n }, 64,
		},
		{
			"device-write-bytes-sec", "device_write_bytes_sec", "per-device bytes wrote per second, in the form of /path/to/device,write_bytes_sec,...",
			(*davitv1.BlkioDevice).GetWriteBytesSec, func(d *davitv1.BlkioDevice, n uint64) { d.WriteBytesSec = n }, 64,
		},
	}
}

func (a *app) blkiotune() command {
	var name, weight string
	limits := blkioLimits()
	values := make([]string, len(limits))
	var s scope
	return command{
		name: "blkiotune", help: "get or set blkio parameters",
		operands: []operand{domainOperand(&name)},
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&weight, "weight", "", "IO Weight")
			for i, l := range limits {
				f.StringVar(&values[i], l.option, "", l.help)
			}
			s.flags(f, "affect")
		},
		exclusive: scopesExclude(),
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			c := blkioChange{}
			if set.Changed("weight") {
				n, err := strconv.ParseUint(weight, 10, 32)
				if err != nil || n == 0 {
					return failed(nil, "Invalid value of %s for I/O weight", weight)
				}
				c.weight = uint32(n)
			}
			for i, l := range limits {
				if !set.Changed(l.option) {
					continue
				}
				if err := c.read(l, values[i]); err != nil {
					return err
				}
			}
			if c.weight == 0 && c.devices == nil {
				return a.showBlkiotune(ctx, name, s)
			}
			for _, one := range s.each() {
				if err := a.changeBlkio(ctx, name, one, c); err != nil {
					return failed(unsure(err), "Unable to change blkio parameters")
				}
			}
			return nil
		},
	}
}

// blkioChange is what a command changes: the weight unless it is 0, and devices.
type blkioChange struct {
	weight  uint32
	devices []func([]*davitv1.BlkioDevice) []*davitv1.BlkioDevice
}

// read reads "/dev/a,1,/dev/b,2"; 0 takes the limit of a device away.
func (c *blkioChange) read(l blkioLimit, text string) error {
	words := strings.Split(text, ",")
	if len(words)%2 != 0 {
		return failed(nil, "unable to parse blkio device '%s' '%s'", l.name, text)
	}
	for pair := range slices.Chunk(words, 2) {
		n, err := strconv.ParseUint(pair[1], 10, l.bits)
		if err != nil || pair[0] == "" {
			return failed(nil, "invalid value '%s' for parameter '%s' of device '%s'", pair[1], l.name, pair[0])
		}
		c.devices = append(c.devices, func(list []*davitv1.BlkioDevice) []*davitv1.BlkioDevice {
			at := slices.IndexFunc(list, func(d *davitv1.BlkioDevice) bool { return d.GetPath() == pair[0] })
			if at < 0 {
				list, at = append(list, &davitv1.BlkioDevice{Path: pair[0]}), len(list)
			}
			l.set(list[at], n)
			return list
		})
	}
	return nil
}

// changeBlkio makes a change in one definition. All devices are changed as one, so what is not named is what it was.
func (a *app) changeBlkio(ctx context.Context, name string, s scope, c blkioChange) error {
	tune := &davitv1.BlkioTune{Weight: c.weight}
	var paths []string
	if c.weight != 0 {
		paths = append(paths, "blkiotune.weight")
	}
	if c.devices != nil {
		_, info, err := a.inspect(ctx, name, s)
		if err != nil {
			return err
		}
		tune.Device = info.GetDefinition().GetBlkiotune().GetDevice()
		for _, change := range c.devices {
			tune.Device = change(tune.Device)
		}
		paths = append(paths, "blkiotune.device")
	}
	return a.change(ctx, name, s, &davitv1.Domain{Blkiotune: tune}, paths...)
}

// showBlkiotune prints the weight and, of each limit, the devices that have one.
func (a *app) showBlkiotune(ctx context.Context, name string, s scope) error {
	_, info, err := a.inspect(ctx, name, s)
	if err != nil {
		return failed(err, "Unable to get number of blkio parameters")
	}
	tune := info.GetDefinition().GetBlkiotune()
	weight := tune.GetWeight()
	if weight == 0 && info.GetId() != 0 && !s.config {
		weight = defaultIOWeight
	}
	all := []parameter{{"weight", strconv.FormatUint(uint64(weight), 10)}}
	for _, l := range blkioLimits() {
		var words []string
		for _, d := range tune.GetDevice() {
			if n := l.get(d); n != 0 {
				words = append(words, d.GetPath(), strconv.FormatUint(n, 10))
			}
		}
		all = append(all, parameter{l.name, strings.Join(words, ",")})
	}
	return a.showParameters(all)
}

// each is the scopes one by one, for what is read from a definition before it is changed.
func (s scope) each() []scope {
	if s.live && s.config {
		return []scope{{live: true}, {config: true}}
	}
	return []scope{s}
}
