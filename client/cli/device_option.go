package cli

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// optionPlaces are the options of a command that makes a device of them, by the places that they have below its element in XML. A place
// within one of them is the same option's. Who gave options has never seen the document that they become, and knows none of its places.
type optionPlaces map[string]string

var (
	diskPlaces = optionPlaces{
		"@type": "sourcetype", "@device": "type", "source": "source", "target": "target", "target/@bus": "targetbus",
		"driver/@name": "driver", "driver/@type": "subdriver", "driver/@cache": "cache", "driver/@io": "io",
		"readonly": "mode", "shareable": "mode", "serial": "serial",
	}
	interfacePlaces = optionPlaces{
		"@type": "type", "source": "source", "source/@mode": "source-mode", "target": "target", "guest": "guest", "mac": "mac",
		"model": "model", "ip": "ip", "mtu": "mtu", "bandwidth/inbound": "inbound", "bandwidth/outbound": "outbound",
		"davit:ipvlan": "ipvlan",
	}
	filesystemPlaces = optionPlaces{
		"@type": "type", "@accessmode": "accessmode", "source": "source", "target": "target", "readonly": "readonly",
		"davit:overlay": "overlay", "space_hard_limit": "space-hard-limit", "driver/@type": "driver", "driver/@format": "format",
	}
)

// deviceElement is what comes before a place below a device, in a document of its own or in a domain's.
var deviceElement = regexp.MustCompile(`^(/domain/devices)?/[a-z]+(\[[0-9]+\])?/`)

// placeIndex is the number of an element among those of its name.
var placeIndex = regexp.MustCompile(`\[[0-9]+\]`)

// option is the option that a place in XML was made of, in words; the place itself if there is none.
func (p optionPlaces) option(xmlPath string) string {
	head := deviceElement.FindString(xmlPath)
	if head == "" {
		return xmlPath
	}
	at := placeIndex.ReplaceAllString(xmlPath[len(head):], "")
	for at != "" {
		if name := p[at]; name != "" {
			return "option --" + name
		}
		at = at[:max(strings.LastIndexByte(at, '/'), 0)]
	}
	return xmlPath
}

// named is an error with options in place of their places in XML.
func (p optionPlaces) named(err error) error {
	e, ok := errors.AsType[*domain.Error](err)
	if !ok || p == nil {
		return err
	}
	told := *e
	told.Violations = slices.Clone(e.Violations)
	for i := range told.Violations {
		v := &told.Violations[i]
		if option := p.option(v.XMLPath); option != v.XMLPath {
			v.XMLPath, v.Line, v.Column = option, 0, 0
		}
	}
	if path := e.Detail["path"]; path != "" {
		if rest, ok := strings.CutPrefix(e.Message, path+": "); ok {
			told.Message = p.option(path) + ": " + rest
		}
	}
	if e.Reason == davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID {
		told.Reason = davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID // there is no document
	}
	return &told
}

// warnings are those with options in place of their places in XML.
func (p optionPlaces) warnings(list []*davitv1.Warning) []*davitv1.Warning {
	told := make([]*davitv1.Warning, 0, len(list))
	for _, w := range list {
		told = append(told, &davitv1.Warning{XmlPath: p.option(w.GetXmlPath()), Field: w.GetField(), Message: w.GetMessage()})
	}
	return told
}
