package domain

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// maxArgument is the length from which on the kernel takes no argument or variable (execve(2), MAX_ARG_STRLEN).
const maxArgument = 131071

// maxID is the greatest user or group id: the one above means "no change".
const maxID = math.MaxUint32 - 1

func (v *validator) init(os *davitv1.Os) {
	switch os.GetType() {
	case "exe":
	case "":
		v.fault("os.type", "a container needs a type: exe")
	default:
		v.fault("os.type", "%s is not exe, the only type of containers", quote(os.GetType()))
	}
	if os.GetInit() == "" {
		v.fault("os.init", "a container needs an init")
	} else if message := pathFault(os.GetInit()); message != "" {
		v.fault("os.init", "init %s", message)
	}
	if os.GetInitdir() != "" {
		if message := pathFault(os.GetInitdir()); message != "" {
			v.fault("os.initdir", "working directory %s", message)
		}
	}
	for i, arg := range os.GetInitarg() {
		if len(arg) > maxArgument {
			v.fault(fmt.Sprintf("os.initarg[%d]", i), "argument has %d bytes, %d are the limit", len(arg), maxArgument)
		}
	}
	v.environment(os.GetInitenv())
	v.id("os.inituser", os.GetInituser())
	v.id("os.initgroup", os.GetInitgroup())
	if len(os.GetCmdline()) > maxArgument-len("LIBVIRT_LXC_CMDLINE=") {
		v.fault("os.cmdline", "command line has %d bytes, %d are the limit", len(os.GetCmdline()), maxArgument-len("LIBVIRT_LXC_CMDLINE="))
	}
}

// arch refuses what the host cannot run. 32-bit programs run on a 64-bit host; see [personality].
func (v *validator) arch(arch, host string) {
	switch {
	case strings.ContainsFunc(arch, func(r rune) bool { return !isNameChar(r) }):
		v.fault("os.arch", "%s is not an architecture", quote(arch))
	case host != "" && arch != "" && arch != host && arch32[arch] != host:
		v.fault("os.arch", "architecture %s is not the host's, %s", quote(arch), host)
	}
}

func (v *validator) id(field, id string) {
	if message := idFault(id); id != "" && message != "" {
		v.fault(field, "%s", message)
	}
}

func (v *validator) environment(env []*davitv1.InitEnv) {
	for i, e := range env {
		name := v.entry("os.initenv", i, "name")
		switch {
		case e.GetName() == "":
			v.fault(name, "a variable needs a name")
		case strings.Contains(e.GetName(), "="):
			v.fault(name, "%s contains %q", quote(e.GetName()), "=")
		case strings.ContainsFunc(e.GetName(), isControl):
			v.fault(name, "%s contains a control character", quote(e.GetName()))
		case len(e.GetName())+len(e.GetValue())+1 > maxArgument:
			v.fault(name, "variable %s has %d bytes, %d are the limit", quote(e.GetName()), len(e.GetName())+len(e.GetValue())+1, maxArgument)
		}
	}
}

// ParseID reads a user or group as <inituser> has it: a number, "+" and a number, or a name. A number is not looked up,
// but one without "+" may be a name as well; numeric tells which it is.
func ParseID(s string) (id uint32, numeric bool, err error) {
	if message := idFault(s); message != "" {
		return 0, false, fmt.Errorf("%s", message)
	}
	digits := strings.TrimPrefix(s, "+")
	if !isDigits(digits) {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), true, err
}

// idFault says why s is neither a name of a user or group nor a number.
func idFault(s string) string {
	digits, forced := strings.CutPrefix(s, "+")
	switch {
	case isDigits(digits):
		if n, err := strconv.ParseUint(digits, 10, 64); err != nil || n > maxID {
			return fmt.Sprintf("id %s is above %d", quote(s), uint32(maxID))
		}
	case forced:
		return fmt.Sprintf("%s is not a number after %q", quote(s), "+")
	case s == "", len(s) > 255, strings.HasPrefix(s, "-"), strings.ContainsAny(s, ":/,\u00a0 "), strings.ContainsFunc(s, isControl):
		return fmt.Sprintf("%s is neither a name nor a number", quote(s))
	}
	return ""
}
