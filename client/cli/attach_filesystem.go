package cli

import (
	"context"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
)

// davitNamespace is the namespace of davit's own elements.
const davitNamespace = "https://github.com/davitd/davit/schemas/domain/1.0"

// filesystemOptions is what attach-filesystem was told.
type filesystemOptions struct {
	source, target                   string
	kind, accessmode, overlay, limit string
	driver, format                   string
	readOnly, printXML               bool
}

func (o *filesystemOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.kind, "type", "mount", "where the content comes from: mount, bind, file, block or ram")
	f.BoolVar(&o.readOnly, "readonly", false, "the domain cannot write to it")
	f.StringVar(&o.accessmode, "accessmode", "", "how the host's ids show in the domain: passthrough or mapped")
	f.StringVar(&o.overlay, "overlay", "", "copy on write over a folder: discard or keep the changes")
	f.StringVar(&o.limit, "space-hard-limit", "", "greatest size of the content, as scaled integer (default KiB)")
	f.StringVar(&o.driver, "driver", "", "driver of an image: loop")
	f.StringVar(&o.format, "format", "", "format of an image: raw")
	f.BoolVar(&o.printXML, "print-xml", false, "print XML document rather than attach the filesystem")
}

func (a *app) attachFilesystem() command {
	var name string
	var o filesystemOptions
	var s deviceScope
	return command{
		name: "attach-filesystem", help: "attach a folder, an image, a block device or memory as a mount",
		operands: []operand{
			domainOperand(&name),
			{name: "source", help: "folder, image or block device of the host, of type bind a folder of the domain, of type ram a size", one: &o.source},
			{name: "target", help: "where it is mounted in the domain, absolute", one: &o.target},
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
			change := deviceChange{"Filesystem attached successfully", "Failed to attach filesystem", s, filesystemPlaces}
			return a.attach(ctx, name, client.DeviceXML(doc), change)
		},
	}
}

// markup is the mount in XML.
func (o filesystemOptions) markup() (string, error) {
	source, err := o.sourceMarkup()
	if err != nil {
		return "", err
	}
	m := (&markup{name: "filesystem"}).with("type", o.kind).with("accessmode", o.accessmode)
	if o.overlay != "" {
		m.with("xmlns:davit", davitNamespace).add(given("davit:overlay", "upper", o.overlay))
	}
	if o.driver+o.format != "" {
		m.add((&markup{name: "driver"}).with("type", o.driver).with("format", o.format))
	}
	m.add(source, (&markup{name: "target"}).with("dir", o.target), mark("readonly", o.readOnly))
	if o.limit != "" {
		kib, ok := sizeKiB(o.limit)
		if !ok {
			return "", badSize(o.limit, "space-hard-limit")
		}
		m.add((&markup{name: "space_hard_limit", text: strconv.FormatUint(kib, 10)}).with("unit", "KiB"))
	}
	return m.write()
}

// sourceMarkup is where the content comes from.
func (o filesystemOptions) sourceMarkup() (*markup, error) {
	switch o.kind {
	case "mount", "bind":
		return given("source", "dir", o.source), nil
	case "file":
		return given("source", "file", o.source), nil
	case "block":
		return given("source", "dev", o.source), nil
	case "ram":
		kib, ok := sizeKiB(o.source)
		if !ok {
			return nil, badSize(o.source, "source")
		}
		return given("source", "usage", strconv.FormatUint(kib, 10)).with("units", "KiB"), nil
	}
	return nil, failed(nil, "No support for %s in command 'attach-filesystem'", cell(o.kind))
}
