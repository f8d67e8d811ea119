package cli

import (
	"context"
	"net"
	"strings"

	"github.com/spf13/pflag"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/convert/oci"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (a *app) domxmlToNative() command {
	var format, name, file string
	return command{
		name: "domxml-to-native", help: "convert domain XML to the config.json of an OCI bundle",
		operands: []operand{
			{name: "format", help: "target config data type format: oci-bundle", one: &format},
			{name: "domain", help: "domain name, id or uuid", optional: true, one: &name},
		},
		flags: func(f *pflag.FlagSet) {
			f.StringVar(&file, "xml", "", "file with a definition to export from, - for standard input; needs no daemon")
		},
		exclusive: [][2]string{{"domain", "xml"}},
		bare:      true,
		run: func(ctx context.Context, set *pflag.FlagSet) error {
			if format != ociBundle {
				return unknownFormat(format, ociBundle)
			}
			o := oci.Options{}
			if file != "" || a.isLocal() {
				o.Device = deviceNumber
			}
			var def *davitv1.Domain
			var err error
			switch {
			case file != "" && name != "":
				return usage("Options --domain and --xml are mutually exclusive")
			case file != "":
				def, _, err = a.parseLocally(file, false)
			case name != "":
				def, err = a.definitionOf(ctx, name)
			default:
				return failed(nil, "need either domain or domain XML")
			}
			if err != nil {
				return err
			}
			text, warnings, err := oci.Write(def, o)
			if err != nil {
				return failed(err, "Failed to convert %s", def.GetName())
			}
			a.warnConverted(warnings)
			a.print("%s", text)
			return nil
		},
	}
}

// definitionOf is the definition of a domain as it is kept.
func (a *app) definitionOf(ctx context.Context, name string) (*davitv1.Domain, error) {
	c, info, err := a.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	resp, err := c.GetDomain(ctx, &davitv1.GetDomainRequest{
		Domain: client.ByUUID(info.GetUuid()), View: davitv1.DomainView_DOMAIN_VIEW_FULL, Inactive: true,
	})
	return resp.GetDomain().GetDefinition(), err
}

// isLocal tells whether the daemon is on this host, whose devices are known here.
func (a *app) isLocal() bool {
	to := a.connect
	if to == "" {
		to = a.env(client.DefaultURI)
	}
	_, _, err := net.SplitHostPort(to)
	return err != nil || strings.Contains(to, "/")
}
