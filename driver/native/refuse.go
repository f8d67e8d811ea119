package native

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// unsupported is the error of what this driver does not do, whatever the host has.
func unsupported(def *davitv1.Domain, xmlPath, message string) error {
	return &domain.Error{
		Code: codes.Unimplemented, Reason: davitv1.ErrorReason_ERROR_REASON_CONFIG_UNSUPPORTED,
		Op: "plan domain", Subject: def.GetName(), Message: xmlPath + ": " + message, Detail: map[string]string{"path": xmlPath},
	}
}

// ownNodes are the names below /dev that every domain has of its own; what ends in "/" is a folder of such.
var ownNodes = []string{"ptmx", "fd", "stdin", "stdout", "stderr", "console", "pts/", "shm/", "mqueue/"}

// checkDevices refuses devices that cannot be, here or anywhere, and names below /dev that two devices would have.
func checkDevices(def *davitv1.Domain, facts Facts) error {
	for i, d := range def.GetDevices().GetDisk() {
		if d.GetTransient() {
			return unsupported(def, fmt.Sprintf("/domain/devices/disk[%d]/transient", i+1),
				"the kernel writes to the image itself; give the domain a copy of it")
		}
	}
	taken := make(map[string]string)
	for _, n := range nodes {
		taken[n.name] = "every domain"
	}
	for _, n := range ownNodes {
		taken[n] = "every domain"
	}
	for _, t := range terminals(def) {
		taken[t.node] = t.alias
	}
	for _, c := range clockNodes(def, facts) {
		taken[c.GetName()] = "a timer"
	}
	for _, n := range needs(def) {
		if n.kind == nodeSource && !strings.HasPrefix(n.path, "/dev/") {
			return unsupported(def, n.xmlPath, fmt.Sprintf("%q is not in /dev, which is where a domain has its devices", n.path))
		}
		for _, node := range facts.Sources[n.key].nodesOf() {
			name := node.GetName()
			if whose := ownerOfNode(taken, name); whose != "" {
				return unsupported(def, n.xmlPath, fmt.Sprintf("/dev/%s is that of %s already", name, whose))
			}
			taken[name], taken[name+"/"] = "another device", "another device"
		}
	}
	return nil
}

// ownerOfNode is who has a name below /dev, or a folder that it would be in; empty if nobody has.
func ownerOfNode(taken map[string]string, name string) string {
	if whose := taken[name]; whose != "" {
		return whose
	}
	for folder := path.Dir(name); folder != "."; folder = path.Dir(folder) {
		if whose := taken[folder+"/"]; whose != "" {
			return whose
		}
	}
	return taken[name+"/"]
}

// checkHost refuses what the host has not. If that is nothing but files and devices that there are not, the reason is theirs: the host
// could have them.
func checkHost(def *davitv1.Domain, facts Facts) error {
	sources := absentSources(def, facts)
	list := slices.Concat(unfit(def, facts), unconfined(def, facts), sources)
	err := hostLacks("plan domain", def.GetName(), list...)
	absent := 0
	for _, s := range facts.Sources {
		if s.Absent {
			absent++
		}
	}
	if e, ok := errors.AsType[*domain.Error](err); ok && len(list) == len(sources) && absent == len(sources) {
		return notThere(e)
	}
	return err
}

// notThere makes an error one of files or devices of the host that there are not. Its code stays: it is not the domain that is not found.
func notThere(e *domain.Error) error {
	e.Reason, e.Message = davitv1.ErrorReason_ERROR_REASON_OBJECT_NOT_FOUND, "what it names is not there"
	return e
}

// absentSources are the devices of a definition that this host has not, and the limits of space that it cannot keep.
func absentSources(def *davitv1.Domain, facts Facts) []domain.Violation {
	var list []domain.Violation
	for _, n := range needs(def) {
		s, known := facts.Sources[n.key]
		switch {
		case !known:
			list = append(list, violation(n.field, n.xmlPath, "%q was not looked at", n.path))
		case s.Missing != "":
			list = append(list, violation(n.field, n.xmlPath, "%s", s.Missing))
		}
	}
	return append(list, unbounded(def, facts)...)
}
