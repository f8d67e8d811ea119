package native

import (
	"testing"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func TestUnlabelled(t *testing.T) {
	const static, dynamic, none = davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_STATIC, davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_DYNAMIC,
		davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_NONE
	yes := true
	for _, c := range []struct {
		label  *davitv1.SecurityLabel
		models []string
		want   string // the field that is refused, empty if none is
	}{
		{&davitv1.SecurityLabel{Model: apparmor, Type: static, Label: "web"}, []string{"capability", apparmor}, ""},
		{&davitv1.SecurityLabel{Model: apparmor, Type: static, Label: "web"}, []string{"capability", selinux}, "seclabel[0].model"},
		{&davitv1.SecurityLabel{Model: selinux, Type: static, Label: "a:b:c:s0", Relabel: &yes}, []string{selinux}, "seclabel[0].relabel"},
		{&davitv1.SecurityLabel{Model: selinux, Type: dynamic, Relabel: &yes}, []string{selinux}, "seclabel[0].type"},
		{&davitv1.SecurityLabel{Model: apparmor, Type: none}, nil, ""},
		{&davitv1.SecurityLabel{Model: "dac", Type: dynamic}, nil, ""},
	} {
		got := ""
		for _, v := range unlabelled(&davitv1.Domain{Seclabel: []*davitv1.SecurityLabel{c.label}}, c.models) {
			got += v.Field
		}
		if got != c.want {
			t.Errorf("%v with %q: %q, want %q", c.label, c.models, got, c.want)
		}
	}
}
