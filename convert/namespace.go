package convert

import (
	"strconv"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// SharedNamespace is the owner of a namespace that a path names: "/proc/17/ns/net" is a process's, "/run/netns/blue" one of
// ip-netns(8), which can be of kind net only. It is not ok for any other path.
func SharedNamespace(path, kind string) (share *davitv1.LxcNamespaceShare, ok bool) {
	if rest, found := strings.CutPrefix(path, "/proc/"); found {
		pid, found := strings.CutSuffix(rest, "/ns/"+kind)
		if _, err := strconv.ParseUint(pid, 10, 31); err != nil || !found {
			return nil, false
		}
		return &davitv1.LxcNamespaceShare{Type: davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_PID, Value: pid}, true
	}
	name, found := strings.CutPrefix(strings.TrimPrefix(path, "/var"), "/run/netns/")
	if !found || kind != "net" || name == "" || strings.Contains(name, "/") {
		return nil, false
	}
	return &davitv1.LxcNamespaceShare{Type: davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_NETNS, Value: name}, true
}
