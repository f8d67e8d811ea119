package native

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/davitd/davit/devices/link"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// checkInterfaces refuses a start whose interfaces cannot be made: they are of a type that this davit has not, or a network is not
// there.
func (d *Driver) checkInterfaces(def *davitv1.Domain) error {
	_, faults, missing := nics(def, nicSources{networks: d.opts.Networks})
	return hostLacks("start domain", def.GetName(), append(faults, missing...)...)
}

// absent tells what the interfaces of a definition need and the host has not.
func (d *Driver) absent(def *davitv1.Domain) (faults []domain.Violation, warnings []*davitv1.Warning, err error) {
	list, faults, missing := nics(def, nicSources{networks: d.opts.Networks})
	for _, v := range missing {
		warnings = append(warnings, &davitv1.Warning{XmlPath: v.XMLPath, Field: v.Field, Message: v.Message + untilStart})
	}
	if len(faults) > 0 || len(list) == 0 {
		return faults, warnings, nil
	}
	host, err := d.host()
	if err != nil {
		return nil, nil, err
	}
	for _, n := range list {
		name, attribute, field := n.Bridge, "source/@bridge", "source_bridge"
		switch n.Kind {
		case link.Direct:
			name, attribute, field = n.Parent, "source/@dev", "source_dev"
		case link.Lent:
			name, attribute, field = n.Parent, "source/interface", "source_interface"
		default:
		}
		if name == "" {
			continue
		}
		if err := host.Look(name, n.Kind == link.Bridge); err != nil {
			message := err.Error()
			if errors.Is(err, fs.ErrNotExist) {
				message = fmt.Sprintf("%q does not exist", name)
			}
			warnings = append(warnings, &davitv1.Warning{XmlPath: n.xmlPath + "/" + attribute, Field: n.field + "." + field, Message: message + untilStart})
		}
	}
	return nil, warnings, nil
}

// untilStart ends what is said of something that may still come.
const untilStart = "; it must when the domain is started"
