package seccomp

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// MostDocument bounds a profile's JSON.
const MostDocument = 1 << 20

// ReadProfile reads a profile as OCI's runtimes (linux.seccomp of config.json) and Docker have it, and resolves what Docker's
// makes depend on the host. What is left out, as names that no kernel here knows, is told in warnings; whatever else is not
// understood is an error that names its place.
//
// The first rule that matches a call answers it. As libseccomp prefers rules without conditions, wherever they stand, a
// profile in which the two differ is warned of.
func ReadProfile(r io.Reader, host Facts) (p Profile, warnings []string, err error) {
	if host.Arch == "" {
		host.Arch = Native
	}
	data, err := io.ReadAll(io.LimitReader(r, MostDocument+1))
	if err != nil {
		return Profile{}, nil, &domain.Error{Code: codes.Unavailable, Reason: davitv1.ErrorReason_ERROR_REASON_INTERNAL, Op: "read seccomp profile", Err: err}
	}
	if len(data) > MostDocument {
		return Profile{}, nil, &domain.Error{
			Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_DOCUMENT_MALFORMED, Op: "read seccomp profile",
			Message: fmt.Sprintf("the document has more than %d bytes", MostDocument),
		}
	}
	o := &ociProfile{document: newDocument(data), host: host, told: make(map[string]bool)}
	if err := o.read(); err != nil {
		return Profile{}, nil, err
	}
	if err := o.profile.Check(); err != nil {
		return Profile{}, nil, o.refuse("%v", err)
	}
	o.compare()
	return o.profile, o.warnings, nil
}

// ociProfile is a profile while it is read.
type ociProfile struct {
	*document
	host     Facts
	profile  Profile
	warnings []string
	unknown  []string // names of calls, quoted
	told     map[string]bool
	native   bool // architectures are given the one or the other way
}

func (o *ociProfile) warn(format string, args ...any) {
	o.warnings = append(o.warnings, fmt.Sprintf(format, args...))
}

func (o *ociProfile) read() error {
	var action, errno, listener, metadata string
	var number *uint64
	err := o.object(map[string]func() error{
		"defaultAction":    o.text(&action),
		"defaultErrnoRet":  o.number(&number, mostErrno),
		"defaultErrno":     o.text(&errno),
		"architectures":    func() error { return o.array(o.architecture) },
		"archMap":          func() error { return o.array(o.archMap) },
		"flags":            func() error { return o.array(o.flag) },
		"listenerPath":     o.text(&listener),
		"listenerMetadata": o.text(&metadata),
		"syscalls":         func() error { return o.array(o.rule) },
	})
	if err != nil {
		return err
	}
	if err = o.end(); err != nil {
		return err
	}
	if listener != "" || metadata != "" {
		return o.refuse("listenerPath: no process is asked about system calls")
	}
	if action == "" {
		return o.refuse("defaultAction is missing: it says how calls are answered that no rule is about")
	}
	if o.profile.Default, err = o.action(action, number, errno); err != nil {
		return err
	}
	o.profile.Foreign, o.profile.Unknown = KillProcess, o.profile.Default
	if !o.profile.Default.permits() { // as runc does: programs then take an older way
		o.profile.Unknown = absent
	}
	if n := len(o.unknown); n > 0 {
		o.warn("left out %d names that no system call has here: %s", n, few(o.unknown))
	}
	return nil
}

// few is the first of many names.
func few(names []string) string {
	const most = 20
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// actions that are not for davit, and why.
var refusedActions = map[string]string{
	"SCMP_ACT_NOTIFY": "no process is asked about system calls",
	"SCMP_ACT_TRACE":  "a domain has no tracer",
}

var ociActions = map[string]Action{
	"SCMP_ACT_ALLOW": Allow, "SCMP_ACT_LOG": Log, "SCMP_ACT_ERRNO": Errno(eperm), "SCMP_ACT_TRAP": Trap,
	"SCMP_ACT_KILL": KillThread, "SCMP_ACT_KILL_THREAD": KillThread, "SCMP_ACT_KILL_PROCESS": KillProcess,
}

// action is one with its error number, which podman's profiles also give by name.
func (o *ociProfile) action(name string, number *uint64, errno string) (Action, error) {
	if why := refusedActions[name]; why != "" {
		return Action{}, o.refuse("action %s is not possible: %s", name, why)
	}
	a, ok := ociActions[name]
	if !ok {
		return Action{}, o.refuse("unknown action %.100q; the actions are SCMP_ACT_ALLOW, ERRNO, KILL, KILL_PROCESS, KILL_THREAD, LOG and TRAP", name)
	}
	if number == nil && errno == "" {
		return a, nil
	}
	if a.Kind != KindErrno {
		return Action{}, o.refuse("action %s has no error number", name)
	}
	if number != nil {
		a.Data = uint16(*number)
	}
	if errno == "" {
		return a, nil
	}
	for n := uint16(1); n < 200; n++ {
		if unix.ErrnoName(unix.Errno(n)) != errno {
			continue
		}
		if number != nil && a.Data != n {
			return Action{}, o.refuse("error %s is number %d, and the number beside it %d", errno, n, a.Data)
		}
		return Errno(n), nil
	}
	return Action{}, o.refuse("unknown error %.100q", errno)
}

// architecture is an item of architectures, OCI's way to say what else than native calls is served.
func (o *ociProfile) architecture() error {
	var name string
	if err := o.text(&name)(); err != nil {
		return err
	}
	if o.native {
		return o.refuse("there are both architectures and archMap")
	}
	return o.serve(name)
}

// archMap is an item of Docker's list of what else is served on each architecture.
func (o *ociProfile) archMap() error {
	var native string
	var others []string
	err := o.object(map[string]func() error{"architecture": o.text(&native), "subArchitectures": o.texts(&others)})
	if err != nil {
		return err
	}
	a := architectureOf(o.host.Arch)
	for _, name := range append(others, native) {
		if !strings.HasPrefix(name, "SCMP_ARCH_") {
			return o.refuse("unknown architecture %.100q", name)
		}
		if a == nil || a.oci != native {
			continue
		}
		o.native = true
		if err := o.serve(name); err != nil {
			return err
		}
	}
	return nil
}

func (o *ociProfile) serve(name string) error {
	if !strings.HasPrefix(name, "SCMP_ARCH_") {
		return o.refuse("unknown architecture %.100q", name)
	}
	native := architectureOf(o.host.Arch)
	if native == nil {
		return nil // refused when it is compiled
	}
	if c := architectureOf(native.companion); c != nil && c.oci == name {
		o.profile.Companion = true
	}
	if name == "SCMP_ARCH_X32" && native.x32 {
		o.warn("left out %s: davit serves no calls of x32", name)
	}
	return nil
}

// flag is an item of the flags with which a filter is loaded.
func (o *ociProfile) flag() error {
	var name string
	if err := o.text(&name)(); err != nil {
		return err
	}
	switch name {
	case "SECCOMP_FILTER_FLAG_TSYNC": // a filter is loaded before there is a second thread
	case "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW":
		o.warn("left out flag %s", name)
	default:
		return o.refuse("unknown flag %.100q", name)
	}
	return nil
}

// rule is an item of syscalls.
func (o *ociProfile) rule() error {
	var name, action, errno, comment string
	var names []string
	var number *uint64
	var conditions []Condition
	var includes, excludes filter
	err := o.object(map[string]func() error{
		"name":     o.text(&name),
		"names":    o.texts(&names),
		"action":   o.text(&action),
		"errnoRet": o.number(&number, mostErrno),
		"errno":    o.text(&errno),
		"args": func() error {
			return o.array(func() error {
				c, err := o.condition(conditions)
				conditions = append(conditions, c)
				return err
			})
		},
		"comment":  o.text(&comment),
		"includes": func() error { return o.filter(&includes) },
		"excludes": func() error { return o.filter(&excludes) },
	})
	if err != nil {
		return err
	}
	switch {
	case name != "" && len(names) > 0:
		return o.refuse("there are both name and names")
	case name != "":
		names = []string{name}
	case len(names) == 0:
		return o.refuse("the rule names no call")
	}
	if action == "" {
		return o.refuse("action is missing")
	}
	a, err := o.action(action, number, errno)
	if err != nil {
		return err
	}
	if names = o.known(names); len(names) > 0 && includes.includes(o.host) && !excludes.excludes(o.host) {
		o.profile.Rules = append(o.profile.Rules, Rule{Names: names, Action: a, When: conditions, Comment: comment})
	}
	return nil
}

// known leaves out names that no architecture has.
func (o *ociProfile) known(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool {
		if known(name) {
			return false
		}
		if !o.told[name] {
			o.told[name] = true
			o.unknown = append(o.unknown, fmt.Sprintf("%.60q", name))
		}
		return true
	})
}

var ociOperators = map[string]Operator{
	"SCMP_CMP_EQ": Equal, "SCMP_CMP_NE": NotEqual, "SCMP_CMP_GT": Greater, "SCMP_CMP_GE": GreaterOrEqual,
	"SCMP_CMP_LT": Less, "SCMP_CMP_LE": LessOrEqual, "SCMP_CMP_MASKED_EQ": MaskedEqual,
}

// condition is an item of args. Masked, value is the mask and valueTwo what is compared.
func (o *ociProfile) condition(before []Condition) (Condition, error) {
	var index, value, two *uint64
	var operator string
	err := o.object(map[string]func() error{
		"index": o.number(&index, 5), "value": o.number(&value, 1<<64-1), "valueTwo": o.number(&two, 1<<64-1), "op": o.text(&operator),
	})
	if err != nil {
		return Condition{}, err
	}
	if index == nil || value == nil {
		return Condition{}, o.refuse("index or value is missing")
	}
	c := Condition{Argument: uint8(*index), Value: *value, Operator: ociOperators[operator]}
	switch {
	case c.Operator == 0:
		return Condition{}, o.refuse("unknown operator %.100q; the operators are SCMP_CMP_EQ, NE, LT, LE, GT, GE and MASKED_EQ", operator)
	case c.Operator == MaskedEqual:
		c.Mask, c.Value = *value, 0
		if two != nil {
			c.Value = *two
		}
	case two != nil && *two != 0:
		return Condition{}, o.refuse("only SCMP_CMP_MASKED_EQ has a valueTwo, and it is %d", *two)
	}
	if slices.ContainsFunc(before, func(b Condition) bool { return b.Argument == c.Argument }) {
		return Condition{}, o.refuse("there are two conditions on argument %d: for some runtimes one is enough, for others both must hold; "+
			"write two rules, or one condition with a mask", c.Argument)
	}
	if err := c.check(); err != nil {
		return Condition{}, o.refuse("%v", err)
	}
	return c, nil
}

func (o *ociProfile) filter(f *filter) error {
	var kernel string
	if err := o.object(map[string]func() error{"arches": o.texts(&f.arches), "caps": o.texts(&f.caps), "minKernel": o.text(&kernel)}); err != nil {
		return err
	}
	for _, c := range f.caps {
		if !strings.HasPrefix(c, "CAP_") {
			return o.refuse("unknown capability %.60q; they are written CAP_SYS_ADMIN", c)
		}
	}
	if kernel == "" {
		return nil
	}
	k, err := ParseKernel(kernel)
	if err != nil {
		return o.refuse("%v", err)
	}
	f.kernel = &k
	return nil
}

// compare warns of calls for which the order of rules decides here, and not in libseccomp.
func (o *ociProfile) compare() {
	plain, conditional := make(map[string][]Action), make(map[string][]Action)
	for _, r := range o.profile.Rules {
		for _, name := range r.Names {
			into := conditional
			if len(r.When) == 0 {
				into = plain
			}
			if !slices.Contains(into[name], r.Action) {
				into[name] = append(into[name], r.Action)
			}
		}
	}
	var differ []string
	for name, actions := range plain {
		others := conditional[name]
		if len(actions) > 1 || len(others) > 1 || len(others) == 1 && others[0] != actions[0] {
			differ = append(differ, name)
		}
	}
	if slices.Sort(differ); len(differ) > 0 {
		o.warn("of the rules for %s the first that matches answers; other runtimes prefer those without conditions", few(differ))
	}
}

// named gives an error the name of the profile that it is about.
func named(err error, name string) error {
	var e *domain.Error
	if !errors.As(err, &e) {
		return err
	}
	clone := *e
	clone.Subject = name
	return &clone
}
