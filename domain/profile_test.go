package domain_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const (
	application = davitv1.ProfileName_PROFILE_NAME_APPLICATION
	system      = davitv1.ProfileName_PROFILE_NAME_SYSTEM
	privileged  = davitv1.ProfileName_PROFILE_NAME_PRIVILEGED
)

// confined is a definition of a program with a profile.
func confined(init string, p *davitv1.Profile) *davitv1.Domain {
	return &davitv1.Domain{Os: &davitv1.Os{Init: init}, Profile: p}
}

func TestProfileFollowsInit(t *testing.T) {
	for init, want := range map[string]davitv1.ProfileName{
		"/sbin/init": system, "/lib/systemd/systemd": system, "init": system,
		"/bin/sh": application, "/sbin/init.sh": application, "/init/app": application, "": application,
	} {
		if got := domain.Confine(confined(init, nil)).Name; got != want {
			t.Errorf("init %q has profile %v, want %v", init, got, want)
		}
		for _, name := range []davitv1.ProfileName{application, system, privileged} {
			if got := domain.Confine(confined(init, &davitv1.Profile{Name: name})).Name; got != name {
				t.Errorf("init %q with profile %v has %v", init, name, got)
			}
		}
	}
}

// TestProfiles: each shuts in less than the one before, and none is empty by mistake.
func TestProfiles(t *testing.T) {
	app := domain.Confine(confined("", &davitv1.Profile{Name: application}))
	sys := domain.Confine(confined("", &davitv1.Profile{Name: system}))
	priv := domain.Confine(confined("", &davitv1.Profile{Name: privileged}))
	if diff := cmp.Diff([]string{
		"chown", "dac_override", "fowner", "fsetid", "kill", "net_bind_service", "setgid", "setpcap", "setuid",
	}, app.Capabilities); diff != "" {
		t.Errorf("an application has other capabilities (-want +got):\n%s", diff)
	}
	for _, dropped := range []string{"sys_module", "sys_time", "mknod", "sys_rawio", "dac_read_search", "bpf", "syslog"} {
		if slices.Contains(sys.Capabilities, dropped) {
			t.Errorf("a system has %s", dropped)
		}
	}
	var libvirts []string
	for _, name := range domain.Capabilities() {
		if !slices.Contains(priv.Capabilities, name) {
			libvirts = append(libvirts, name)
		}
	}
	if diff := cmp.Diff([]string{"audit_control", "mac_admin", "mknod", "sys_module", "sys_time"}, libvirts); diff != "" {
		t.Errorf("the privileged are dropped others than by libvirt (-want +got):\n%s", diff)
	}
	for _, pair := range [][2]domain.Confinement{{app, sys}, {sys, priv}} {
		for _, name := range pair[0].Capabilities {
			if !slices.Contains(pair[1].Capabilities, name) {
				t.Errorf("%v has %s and %v has not", pair[0].Name, name, pair[1].Name)
			}
		}
	}
	for _, c := range []domain.Confinement{app, sys} {
		if !c.OwnUsers || c.Pids == 0 || len(c.Masked) == 0 || len(c.ReadOnly) == 0 || c.Seccomp == domain.SeccompUnconfined || c.HostSeccomp {
			t.Errorf("%v is not shut in: %+v", c.Name, c)
		}
	}
	if app.Seccomp == sys.Seccomp || !app.NoNewPrivs || sys.NoNewPrivs || app.Delegated || !sys.Delegated {
		t.Errorf("an application is %+v, a system %+v", app, sys)
	}
	if priv.OwnUsers || priv.NoNewPrivs || priv.Seccomp != domain.SeccompUnconfined || len(priv.Masked)+len(priv.ReadOnly) != 0 {
		t.Errorf("privileged is %+v", priv)
	}
}

// TestConfine: what a definition changes, and nothing else.
func TestConfine(t *testing.T) {
	on, off, soft, hard := true, false, uint64(1), uint64(2)
	base := domain.Confine(confined("", nil))
	for _, row := range []struct {
		name string
		p    *davitv1.Profile
		want func(*domain.Confinement)
	}{
		{"nothing", &davitv1.Profile{}, func(*domain.Confinement) {}},
		{"new privileges", &davitv1.Profile{NoNewPrivs: &off}, func(c *domain.Confinement) { c.NoNewPrivs = false }},
		{"no new privileges", &davitv1.Profile{NoNewPrivs: &on}, func(*domain.Confinement) {}},
		{"filter of the profile", &davitv1.Profile{Seccomp: "default"}, func(*domain.Confinement) {}},
		{"no filter", &davitv1.Profile{Seccomp: "unconfined"}, func(c *domain.Confinement) { c.Seccomp = "unconfined" }},
		{"filter of the host", &davitv1.Profile{Seccomp: "web"}, func(c *domain.Confinement) { c.Seccomp, c.HostSeccomp = "web", true }},
		{"filter of the host by a name of davit's", &davitv1.Profile{Seccomp: "system"}, func(c *domain.Confinement) {
			c.Seccomp, c.HostSeccomp = "system", true
		}},
		{
			"a limit", &davitv1.Profile{Rlimit: []*davitv1.ResourceLimit{{Name: davitv1.ResourceName_RESOURCE_NAME_NOFILE, Soft: &soft, Hard: &hard}}},
			func(c *domain.Confinement) {
				c.Rlimits = append(c.Rlimits[1:len(c.Rlimits):len(c.Rlimits)], &davitv1.ResourceLimit{
					Name: davitv1.ResourceName_RESOURCE_NAME_NOFILE, Soft: &soft, Hard: &hard,
				})
			},
		},
		{"paths", &davitv1.Profile{Unmask: []*davitv1.UnmaskedPath{{Path: "/proc/kcore"}, {Path: "/proc/sys"}}}, func(c *domain.Confinement) {
			c.Masked = slices.DeleteFunc(c.Masked, func(p string) bool { return p == "/proc/kcore" })
			c.ReadOnly = slices.DeleteFunc(c.ReadOnly, func(p string) bool { return p == "/proc/sys" })
		}},
	} {
		want := domain.Confine(confined("", nil))
		row.want(&want)
		if diff := cmp.Diff(want, domain.Confine(confined("", row.p)), protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
	if diff := cmp.Diff(base, domain.Confine(confined("", nil)), protocmp.Transform()); diff != "" {
		t.Errorf("a caller changed the profile for all (-want +got):\n%s", diff)
	}
}

func TestConfineCapabilities(t *testing.T) {
	on, off := true, false
	for _, row := range []struct {
		name    string
		profile davitv1.ProfileName
		c       *davitv1.Capabilities
		want    string // in full, or what of it is of interest
		none    string
	}{
		{"deny", system, &davitv1.Capabilities{Policy: davitv1.CapabilityPolicy_CAPABILITY_POLICY_DENY, NetAdmin: &on}, "net_admin", "chown kill"},
		{"allow", application, &davitv1.Capabilities{Policy: davitv1.CapabilityPolicy_CAPABILITY_POLICY_ALLOW, Bpf: &off}, "sys_module mknod sys_admin", "bpf"},
		{"default", application, &davitv1.Capabilities{Policy: davitv1.CapabilityPolicy_CAPABILITY_POLICY_DEFAULT, NetRaw: &on, Kill: &off}, "net_raw chown", "kill sys_admin"},
		{"single ones", system, &davitv1.Capabilities{Mknod: &on, SysAdmin: &off}, "mknod net_admin", "sys_admin sys_time"},
		{"privileged", privileged, &davitv1.Capabilities{SysTime: &on}, "sys_time sys_rawio", "sys_module"},
	} {
		got := domain.Confine(&davitv1.Domain{
			Profile: &davitv1.Profile{Name: row.profile}, Features: &davitv1.Features{Capabilities: row.c},
		}).Capabilities
		for name := range strings.FieldsSeq(row.want) {
			if !slices.Contains(got, name) {
				t.Errorf("%s: %s is missing in %v", row.name, name, got)
			}
		}
		for name := range strings.FieldsSeq(row.none) {
			if slices.Contains(got, name) {
				t.Errorf("%s: %s is there", row.name, name)
			}
		}
	}
	fields := (&davitv1.Capabilities{}).ProtoReflect().Descriptor().Fields()
	for _, name := range domain.Capabilities() {
		if f := fields.ByName(protoreflect.Name(name)); f == nil || f.Kind() != protoreflect.BoolKind {
			t.Errorf("there is no capability %s", name)
		}
	}
	if got := len(domain.Capabilities()); got != fields.Len()-1 {
		t.Errorf("%d capabilities of %d fields, one of which is the policy", got, fields.Len())
	}
}
