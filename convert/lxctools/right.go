package lxctools

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/davitd/davit/convert"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func rightKeys() []Key {
	return []Key{
		{Name: "lxc.cap.drop", List: true, Becomes: "features.capabilities: off under the policy allow", read: (*reading).capDrop},
		{Name: "lxc.cap.keep", List: true, Becomes: "features.capabilities: on under the policy deny", read: (*reading).capKeep},
		{
			Name: "lxc.apparmor.profile", Old: "lxc.aa_profile",
			Becomes: "seclabel of model apparmor: static, dynamic for generated, none for unconfined", Why: "unchanged is of the starting process", read: (*reading).apparmor,
		},
		{Name: "lxc.selinux.context", Old: "lxc.se_context", Becomes: "seclabel of model selinux, static", read: (*reading).selinux},
		{Name: "lxc.apparmor.allow_incomplete", Old: "lxc.aa_allow_incomplete", Why: "the host's AppArmor is not asked for it"},
		{Name: "lxc.apparmor.allow_nesting", Why: "profiles of AppArmor are not changed"},
		{Name: "lxc.apparmor.raw", List: true, Why: "rules of AppArmor belong into its profile"},
		{Name: "lxc.selinux.context.keyring", Why: "session keyrings have no label of their own"},
		{
			Name: "lxc.seccomp.profile", Old: "lxc.seccomp", Why: "the domain has the filter of its profile; another is one of Docker's or OCI's form, " +
				"/etc/davit/seccomp/NAME.json, that profile.seccomp names",
		},
		{Name: "lxc.seccomp.allow_nesting", Why: "a process has the filter of its domain, and may add one of its own"},
		{Name: "lxc.seccomp.notify.*", Why: "no process is asked about system calls"},
		{Name: "lxc.no_new_privs", Becomes: "profile.no_new_privs; nothing for 0", read: (*reading).noNewPrivileges},
		{Name: "lxc.keyring.session", Why: "session keyrings are davit's own affair"},
		{
			Name: "lxc.namespace.share.*", Becomes: "lxc_namespace.sharenet, shareipc and shareuts: of a container, of a pid or /proc/PID/ns, and for net of " +
				"/run/netns", Why: "other namespaces cannot be shared", read: (*reading).share,
		},
		{Name: "lxc.namespace.keep", Why: "a domain has namespaces of its own; those of the starting process cannot be kept"},
		{Name: "lxc.namespace.clone", Why: "a domain has all namespaces of its own"},
		{Name: "lxc.prlimit.*", Old: "lxc.limit.*", Becomes: "profile.rlimit", read: (*reading).prlimit},
		{Name: "lxc.sysctl.*", Why: "definitions have no kernel parameters; init can set them"},
		{Name: "lxc.proc.*", Why: "definitions have no attributes of init"},
	}
}

// capNumbers are the kernel's names of capabilities in its order, for configurations that give numbers.
func capNumbers() []string {
	return strings.Fields("chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service net_broadcast " +
		"net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time " +
		"sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore")
}

// capabilities sets the capabilities that settings name.
func (r *reading) capabilities(list []setting, on bool) {
	numbers := capNumbers()
	for _, s := range list {
		for word := range strings.FieldsSeq(s.value) {
			if n, err := strconv.Atoi(word); err == nil && n >= 0 && n < len(numbers) {
				word = numbers[n]
			}
			name, known := convert.CapabilityName(word)
			switch {
			case known:
				convert.SetCapability(r.def.Features.Capabilities, name, on)
			case name == "none" && on:
				// what keeps nothing
			default:
				r.unknownCapability(s, word, name, numbers)
			}
		}
	}
}

func (r *reading) unknownCapability(s setting, word, name string, kernel []string) {
	if slices.Contains(kernel, name) {
		r.warn(s, "definitions do not speak of the capability %q", word)
		return
	}
	r.fault(s, word, "is not a capability%s", r.near(name, convert.Capabilities))
}

func (r *reading) capDrop(list []setting) {
	r.from("features.capabilities", list[0])
	r.capabilities(list, false)
}

func (r *reading) capKeep(list []setting) {
	if _, dropped := r.origin["features.capabilities"]; dropped {
		r.fault(list[0], "", "capabilities are dropped or kept, not both")
		return
	}
	r.def.Features.Capabilities.Policy = davitv1.CapabilityPolicy_CAPABILITY_POLICY_DENY
	r.from("features.capabilities", list[0])
	r.capabilities(list, true)
}

func (r *reading) label(s setting, l *davitv1.SecurityLabel) {
	r.from(entry("seclabel", len(r.def.Seclabel)), s)
	r.def.Seclabel = append(r.def.Seclabel, l)
}

func (r *reading) apparmor(list []setting) {
	l := &davitv1.SecurityLabel{Type: davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_STATIC, Model: "apparmor"}
	switch s := list[0]; s.value {
	case "unchanged":
		r.warn(s, "a domain does not keep the profile of the process that starts it")
		return
	case "unconfined":
		l.Type = davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_NONE
	case "generated":
		l.Type = davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_DYNAMIC
	default:
		l.Label = s.value
	}
	r.label(list[0], l)
}

func (r *reading) selinux(list []setting) {
	r.label(list[0], &davitv1.SecurityLabel{
		Type: davitv1.SecurityLabelType_SECURITY_LABEL_TYPE_STATIC, Model: "selinux", Label: list[0].value,
	})
}

func (r *reading) noNewPrivileges(list []setting) {
	if on, ok := r.flag(list[0]); ok && on {
		r.profile().NoNewPrivs = &on
		r.from("profile.no_new_privs", list[0])
	}
}

// profile is that of the definition, which has one from now on.
func (r *reading) profile() *davitv1.Profile {
	if r.def.Profile == nil {
		r.def.Profile = &davitv1.Profile{}
	}
	return r.def.Profile
}

// prlimit reads the limits of processes: SOFT:HARD, or one number for both.
func (r *reading) prlimit(list []setting) {
	for _, s := range list {
		word := strings.TrimPrefix(s.key, "lxc.prlimit.")
		name, known := davitv1.ResourceName_value["RESOURCE_NAME_"+strings.ToUpper(word)]
		if !known || name == 0 {
			r.fault(s, "", "%q is no resource of processes%s", word, r.near(word, resources))
			continue
		}
		first, second, both := strings.Cut(s.value, ":")
		if !both {
			second = first
		}
		soft, ok := limitOf(first)
		hard, ok2 := limitOf(second)
		if !ok || !ok2 {
			r.fault(s, s.value, `is no limit: a number or "unlimited", or two of them with a colon between`)
			continue
		}
		limit := &davitv1.ResourceLimit{Name: davitv1.ResourceName(name), Soft: &soft, Hard: &hard}
		p := r.profile()
		r.from(entry("profile.rlimit", len(p.Rlimit)), s)
		p.Rlimit = append(p.Rlimit, limit)
	}
}

// resources are the words for what setrlimit(2) limits.
func resources() []string {
	var words []string
	for n := range davitv1.ResourceName_name {
		if n != 0 {
			words = append(words, strings.ToLower(strings.TrimPrefix(davitv1.ResourceName(n).String(), "RESOURCE_NAME_")))
		}
	}
	slices.Sort(words)
	return words
}

// limitOf reads one limit of processes.
func limitOf(word string) (limit uint64, ok bool) {
	word = strings.TrimSpace(word)
	if word == "unlimited" {
		return domain.Unbounded, true
	}
	limit, err := strconv.ParseUint(word, 10, 64)
	return limit, err == nil
}

// share reads the owners of shared namespaces.
func (r *reading) share(list []setting) {
	for _, s := range list {
		kind := strings.TrimPrefix(s.key, "lxc.namespace.share.")
		owner, ok := r.owner(s, kind)
		if !ok {
			continue
		}
		if r.def.LxcNamespace == nil {
			r.def.LxcNamespace = &davitv1.LxcNamespace{}
		}
		switch n := r.def.LxcNamespace; kind {
		case "net":
			n.Sharenet = owner
		case "ipc":
			n.Shareipc = owner
		case "uts":
			n.Shareuts = owner
		}
		r.from("lxc_namespace.share"+kind, s)
	}
}

// owner is whose namespace is meant: a container's, a process's, or for net a named one.
func (r *reading) owner(s setting, kind string) (*davitv1.LxcNamespaceShare, bool) {
	if kind != "net" && kind != "ipc" && kind != "uts" {
		r.warn(s, "only the namespaces net, ipc and uts can be shared")
		return nil, false
	}
	share := &davitv1.LxcNamespaceShare{Type: davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_NAME, Value: s.value}
	if _, err := strconv.ParseUint(s.value, 10, 31); err == nil {
		share.Type = davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_PID
		return share, true
	}
	if !strings.HasPrefix(s.value, "/") {
		return share, true
	}
	share, ok := convert.SharedNamespace(s.value, kind)
	if !ok {
		r.warn(s, "only namespaces of processes and those of /run/netns can be named: /proc/PID/ns/%s", kind)
	}
	return share, ok
}

func initKeys() []Key {
	return []Key{
		{
			Name: "lxc.init.cmd", Old: "lxc.init_cmd", Becomes: "os.init and os.initarg, split at blanks that are not in quotes", read: (*reading).initCommand,
		},
		{Name: "lxc.init.cwd", Becomes: "os.initdir", read: (*reading).initFolder},
		{Name: "lxc.init.uid", Old: "lxc.init_uid", Becomes: "os.inituser; nothing for 0", read: (*reading).initUser},
		{Name: "lxc.init.gid", Old: "lxc.init_gid", Becomes: "os.initgroup; nothing for 0", read: (*reading).initGroup},
		{Name: "lxc.init.groups", Why: "init has the groups of its user"},
		{
			Name: "lxc.environment", List: true, Becomes: "os.initenv", Why: "a name without a value is of the starting process's environment",
			read: (*reading).environment,
		},
		{Name: "lxc.environment.*", List: true, Why: "the environment of hooks and of the runtime alone is not set"},
		{Name: "lxc.execute.cmd", Why: "it is the command of lxc-execute; init is os.init"},
	}
}

func (r *reading) initCommand(list []setting) {
	words, ok := split(list[0].value)
	if !ok {
		r.fault(list[0], list[0].value, "has a quote that is not closed")
		return
	}
	if len(words) == 0 {
		return
	}
	r.def.Os.Init, r.def.Os.Initarg = words[0], words[1:]
	r.from("os.init", list[0])
	r.from("os.initarg", list[0])
}

// split splits a command at blanks, less those in single or double quotes.
func split(command string) (words []string, ok bool) {
	var word strings.Builder
	quote, started := rune(0), false
	for _, c := range command {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '"' || c == '\'':
			quote, started = c, true
		case c == ' ' || c == '\t':
			if started {
				words = append(words, word.String())
			}
			word.Reset()
			started = false
		default:
			word.WriteRune(c)
			started = true
		}
	}
	if started {
		words = append(words, word.String())
	}
	return words, quote == 0
}

func (r *reading) initFolder(list []setting) {
	r.def.Os.Initdir = list[0].value
	r.from("os.initdir", list[0])
}

func (r *reading) initUser(list []setting)  { r.id(list[0], &r.def.Os.Inituser, "os.inituser") }
func (r *reading) initGroup(list []setting) { r.id(list[0], &r.def.Os.Initgroup, "os.initgroup") }

func (r *reading) id(s setting, to *string, field string) {
	if n, ok := r.number(s, s.value, math.MaxUint32-1); ok && n > 0 {
		*to = strconv.FormatUint(n, 10)
		r.from(field, s)
	}
}

func (r *reading) environment(list []setting) {
	for _, s := range list {
		name, value, ok := strings.Cut(s.value, "=")
		if !ok {
			r.warn(s, "the value of %q in the environment of who starts the container is not known", name)
			continue
		}
		r.from(entry("os.initenv", len(r.def.Os.Initenv)), s)
		r.def.Os.Initenv = append(r.def.Os.Initenv, &davitv1.InitEnv{Name: name, Value: value})
	}
}
