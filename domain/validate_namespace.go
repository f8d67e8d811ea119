package domain

import (
	"slices"
	"strconv"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (v *validator) namespaces(def *davitv1.Domain) {
	n := def.GetLxcNamespace()
	v.share(def, "sharenet", n.GetSharenet())
	v.share(def, "shareipc", n.GetShareipc())
	v.share(def, "shareuts", n.GetShareuts())
	if n.GetSharenet() == nil {
		return
	}
	isNet := func(h *davitv1.Hostdev) bool { return h.GetType() == davitv1.HostdevType_HOSTDEV_TYPE_NET }
	switch {
	case def.GetFeatures().GetPrivnet():
		v.fault("lxc_namespace.sharenet", "a domain shares a network namespace or has one of its own, <privnet/>")
	case len(def.GetDevices().GetInterface()) > 0 || slices.ContainsFunc(def.GetDevices().GetHostdev(), isNet):
		v.fault("lxc_namespace.sharenet", "a domain in a shared network namespace has no interfaces of its own")
	}
}

func (v *validator) share(def *davitv1.Domain, name string, share *davitv1.LxcNamespaceShare) {
	if share == nil {
		return
	}
	field := "lxc_namespace." + name
	value := share.GetValue()
	switch share.GetType() {
	case davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_UNSPECIFIED:
		v.fault(field+".type", "a shared namespace needs a type: name, pid or netns")
		return
	case davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_NETNS:
		if name != "sharenet" {
			v.fault(field+".type", "only a network namespace can be shared by netns")
		}
	default:
	}
	switch {
	case value == "":
		v.fault(field+".value", "a shared namespace needs an owner")
	case share.GetType() == davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_NAME:
		if message := nameFault(value); message != "" {
			v.fault(field+".value", "owner: %s", message)
		} else if value == def.GetName() {
			v.fault(field+".value", "a domain cannot share a namespace with itself")
		}
	case share.GetType() == davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_PID:
		if pid, err := strconv.ParseUint(value, 10, 32); err != nil || !isDigits(value) || pid == 0 || pid > maxPids {
			v.fault(field+".value", "%s is not a process: a number from 1 to %d", quote(value), maxPids)
		}
	case value == ".", value == "..", len(value) > maxPathStep, strings.Contains(value, "/"), strings.ContainsFunc(value, isControl):
		v.fault(field+".value", "%s is not the name of a network namespace", quote(value))
	}
}
