package cli

import (
	"context"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
)

// diskOptions is what attach-disk was told.
type diskOptions struct {
	source, target                                             string
	bus, driver, format, cache, device, mode, kind, io, serial string
	printXML                                                   bool
}

func (o *diskOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.bus, "targetbus", "", "target bus of disk device; for containers it only names the node")
	f.StringVar(&o.driver, "driver", "", "driver of disk device")
	f.StringVar(&o.format, "subdriver", "", "subdriver of disk device: the format of an image, raw")
	f.StringVar(&o.cache, "cache", "", "cache mode of disk device: default, or none for direct I/O")
	f.StringVar(&o.io, "io", "", "io policy of disk device")
	f.StringVar(&o.device, "type", "", "target device type: disk")
	f.StringVar(&o.mode, "mode", "", "mode of device reading and writing: readonly or shareable")
	f.StringVar(&o.kind, "sourcetype", "", "type of source (block|file)")
	f.StringVar(&o.serial, "serial", "", "serial of disk device")
	f.BoolVar(&o.printXML, "print-xml", false, "print XML document rather than attach the disk")
}

func (a *app) attachDisk() command {
	var name string
	var o diskOptions
	var s deviceScope
	return command{
		name: "attach-disk", help: "attach disk device",
		operands: []operand{
			domainOperand(&name),
			{name: "source", help: "image or block device of the host, absolute", one: &o.source},
			{name: "target", help: "name of the node below /dev of the domain: vda", one: &o.target},
		},
		flags: func(f *pflag.FlagSet) {
			o.flags(f)
			s.flags(f)
		},
		exclusive: deviceScopesExclude(),
		run: func(ctx context.Context, _ *pflag.FlagSet) error {
			doc, err := o.markup()
			if err != nil {
				return err
			}
			if o.printXML {
				a.print("%s", doc)
				return nil
			}
			return a.attach(ctx, name, client.DeviceXML(doc), deviceChange{"Disk attached successfully", "Failed to attach disk", s, diskPlaces})
		},
	}
}

// markup is the disk in XML.
func (o diskOptions) markup() (string, error) {
	kind, err := o.sourceType()
	if err != nil {
		return "", err
	}
	if o.mode != "" && o.mode != "readonly" && o.mode != "shareable" {
		return "", failed(nil, "No support for %s in command 'attach-disk'", cell(o.mode))
	}
	disk := (&markup{name: "disk"}).with("type", kind).with("device", o.device)
	if o.driver+o.format+o.cache+o.io != "" {
		driver := &markup{name: "driver"}
		disk.add(driver.with("name", o.driver).with("type", o.format).with("cache", o.cache).with("io", o.io))
	}
	place := "file"
	if kind == "block" {
		place = "dev"
	}
	disk.add(given("source", place, o.source), (&markup{name: "target"}).with("dev", o.target).with("bus", o.bus), mark(o.mode, o.mode != ""))
	if o.serial != "" {
		disk.add(&markup{name: "serial", text: o.serial})
	}
	return disk.write()
}

// sourceType is whether the source is a file or a block device, as the options say or as it is here. One that is not here,
// as the daemon may be elsewhere, is a block device below /dev and a file otherwise.
func (o diskOptions) sourceType() (string, error) {
	switch {
	case o.kind == "file", o.kind == "block":
		return o.kind, nil
	case o.kind != "":
		return "", failed(nil, "Unknown source type: '%s'", cell(o.kind))
	case o.driver == "file", o.driver == "tap":
		return "file", nil
	}
	info, err := os.Stat(o.source)
	if err == nil && info.Mode().IsRegular() || err != nil && !strings.HasPrefix(o.source, "/dev/") {
		return "file", nil
	}
	return "block", nil
}
