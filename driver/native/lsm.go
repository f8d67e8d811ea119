package native

import (
	"fmt"
	"slices"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// unlabelled are the labels of a definition that its processes would not have, or whose files would not: without them the domain
// is not started. The models are the kernel's modules that label processes.
func unlabelled(def *davitv1.Domain, models []string) []domain.Violation {
	var list []domain.Violation
	for i, l := range def.GetSeclabel() {
		if l.GetModel() != apparmor && l.GetModel() != selinux {
			continue
		}
		refuse := func(attribute, format string, args ...any) {
			list = append(list, violation(fmt.Sprintf("seclabel[%d].%s", i, attribute),
				fmt.Sprintf("/domain/seclabel[%d]/@%s", i+1, attribute), format, args...))
		}
		switch kind := l.GetType(); {
		case kind == davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_DYNAMIC:
			refuse("type", "davit makes no labels of its own: give one that the host's policy has, with type static, or type none")
		case kind != davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_STATIC:
		case !slices.Contains(models, l.GetModel()):
			refuse("model", "the kernel of the host labels no processes by %s, and the domain would run without %q", l.GetModel(), l.GetLabel())
		case l.GetRelabel():
			refuse("relabel", "davit labels no files: give them their labels on the host, and relabel no")
		}
	}
	return list
}
