package launch

import (
	"fmt"
	"strconv"
	"strings"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// Describe is a plan as text, one operation a line, in the order in which they are done. The same plan always gives the
// same text; it says what is meant, not which system calls that takes.
func Describe(plan *monitorv1.Plan) string {
	var b strings.Builder
	ns := plan.GetNamespaces()
	fmt.Fprintf(&b, "namespaces%s\n", namespaceWords(ns))
	for _, s := range plan.GetShared() {
		b.WriteString(describeShared(s))
	}
	if ns.GetUser() {
		describeMap(&b, "users", plan.GetUidMap())
		describeMap(&b, "groups", plan.GetGidMap())
	}
	for _, c := range plan.GetConsoles() {
		fmt.Fprintf(&b, "console %s keeping %d bytes\n", c.GetAlias(), c.GetScrollbackBytes())
	}
	for _, name := range plan.GetHeld() {
		fmt.Fprintf(&b, "hold %s\n", quoteUnlessPlain(name))
	}
	for _, op := range plan.GetOperations() {
		describeOperation(&b, op)
	}
	describeProcess(&b, plan.GetInit())
	if p := plan.GetPolicy(); p != nil {
		fmt.Fprintf(&b, "afterwards on poweroff %s, on reboot %s, on crash %s\n",
			actionWord(p.GetOnPoweroff()), actionWord(p.GetOnReboot()), actionWord(p.GetOnCrash()))
	}
	return b.String()
}

func namespaceWords(ns *monitorv1.Namespaces) string {
	words := []string{" mount pid"}
	for _, n := range []struct {
		own  bool
		word string
	}{{ns.GetUser(), "user"}, {ns.GetIpc(), "ipc"}, {ns.GetUts(), "uts"}, {ns.GetNet(), "net"}, {ns.GetCgroup(), "cgroup"}} {
		if n.own {
			words = append(words, n.word)
		}
	}
	return strings.Join(words, " ")
}

func describeMap(b *strings.Builder, what string, m []*monitorv1.IdMapping) {
	for _, line := range m {
		fmt.Fprintf(b, "map %s %d to %d, %d of them\n", what, line.GetInside(), line.GetOutside(), line.GetCount())
	}
}

// describeOperation is an operation with all that it says.
func describeOperation(b *strings.Builder, op *monitorv1.Operation) {
	switch {
	case op.GetRootBind() != nil:
		r := op.GetRootBind()
		fmt.Fprintf(b, "root %s%s%s\n", r.GetSource(), readOnlyWord(r.GetReadOnly()), mappedWord(r.GetMapped()))
	case op.GetRootOverlay() != nil:
		r := op.GetRootOverlay()
		fmt.Fprintf(b, "root overlay of %s, %s", strings.Join(r.GetLower(), ":"), upperWord(r.GetUpper(), r.GetSizeBytes()))
		if r.GetOwnedByRoot() {
			b.WriteString(", owned by root")
		}
		b.WriteString(mappedWord(r.GetMapped()) + "\n")
	case op.GetRootImage() != nil:
		r := op.GetRootImage()
		fmt.Fprintf(b, "root image %s of type %s%s%s\n", quoteUnlessPlain(r.GetHeld()), r.GetType(), readOnlyWord(r.GetReadOnly()), mappedWord(r.GetMapped()))
	case op.GetImage() != nil:
		v := op.GetImage()
		fmt.Fprintf(b, "image %s of type %s on %s%s%s%s\n", quoteUnlessPlain(v.GetHeld()), v.GetType(), v.GetTarget(),
			readOnlyWord(v.GetReadOnly()), flagWords(v.GetFlags()), mappedWord(v.GetMapped()))
	case op.GetBind() != nil:
		v := op.GetBind()
		fmt.Fprintf(b, "bind %s on %s%s%s%s\n", v.GetSource(), v.GetTarget(), readOnlyWord(v.GetReadOnly()), flagWords(v.GetFlags()),
			mappedWord(v.GetMapped()))
	case op.GetInnerBind() != nil:
		v := op.GetInnerBind()
		fmt.Fprintf(b, "bind inner %s on %s%s\n", v.GetSource(), v.GetTarget(), readOnlyWord(v.GetReadOnly()))
	case op.GetOverlay() != nil:
		v := op.GetOverlay()
		fmt.Fprintf(b, "overlay of %s on %s, %s%s\n", v.GetLower(), v.GetTarget(), upperWord(v.GetUpper(), 0), mappedWord(v.GetMapped()))
	case op.GetTmpfs() != nil:
		v := op.GetTmpfs()
		fmt.Fprintf(b, "tmpfs on %s mode %04o%s%s%s\n", v.GetTarget(), v.GetMode(), sizeWord(v.GetSizeBytes()),
			readOnlyWord(v.GetReadOnly()), flagWords(v.GetFlags()))
	case op.GetKernelFilesystem() != nil:
		v := op.GetKernelFilesystem()
		fmt.Fprintf(b, "%s on %s%s\n", kernelName(v.GetType()), v.GetTarget(), readOnlyWord(v.GetReadOnly()))
	case op.GetDev() != nil:
		describeDev(b, op.GetDev())
	case op.GetConsoleBind() != nil:
		fmt.Fprintf(b, "console %d on /dev/%s\n", op.GetConsoleBind().GetConsole(), op.GetConsoleBind().GetName())
	case op.GetMask() != nil:
		fmt.Fprintf(b, "mask %s\n", op.GetMask().GetPath())
	case op.GetReadOnly() != nil:
		fmt.Fprintf(b, "read-only %s%s\n", op.GetReadOnly().GetPath(), exceptWords(op.GetReadOnly().GetExcept()))
	case op.GetHostname() != nil:
		fmt.Fprintf(b, "host name %s\n", op.GetHostname().GetName())
	case op.GetLoopbackUp() != nil:
		b.WriteString("loopback up\n")
	default:
		b.WriteString("unknown operation\n")
	}
}

func describeDev(b *strings.Builder, d *monitorv1.Dev) {
	fmt.Fprintf(b, "dev with at most %d terminals,%s of shm", d.GetMaxPtys(), sizeWord(d.GetShmSizeBytes()))
	if d.GetMqueue() {
		b.WriteString(", mqueue")
	}
	b.WriteString("\n")
	for _, n := range d.GetNodes() {
		kind := "c"
		if n.GetBlock() {
			kind = "b"
		}
		fmt.Fprintf(b, "  node %s %s %d:%d mode %04o\n", n.GetName(), kind, n.GetMajor(), n.GetMinor(), n.GetMode())
	}
	for _, l := range d.GetLinks() {
		fmt.Fprintf(b, "  link %s to %s\n", l.GetName(), l.GetTarget())
	}
}

func describeProcess(b *strings.Builder, p *monitorv1.Process) {
	for _, l := range p.GetRlimits() {
		fmt.Fprintf(b, "limit %s to %s, at most %s\n", resourceWord(l.GetResource()), limitWord(l.GetSoft()), limitWord(l.GetHard()))
	}
	if policy := p.GetMemoryPolicy(); policy != nil {
		fmt.Fprintf(b, "memory %s\n", memoryWords(policy))
	}
	for _, v := range p.GetEnv() {
		fmt.Fprintf(b, "environment %s\n", quoteUnlessPlain(v))
	}
	fmt.Fprintf(b, "run")
	for _, arg := range p.GetArgv() {
		b.WriteString(" " + quoteUnlessPlain(arg))
	}
	fmt.Fprintf(b, " in %s as %s", orWord(p.GetCwd(), "/"), orWord(p.GetUser(), "0"))
	if p.GetGroup() != "" {
		b.WriteString(":" + p.GetGroup())
	}
	fmt.Fprintf(b, " with %s", capabilityWords(p.GetCapabilities()))
	if p.GetNoNewPrivs() {
		b.WriteString(", no new privileges")
	}
	if n := len(p.GetSeccomp()); n > 0 {
		fmt.Fprintf(b, ", system calls filtered by %s of %d instructions", quoteUnlessPlain(p.GetSeccompName()), n/filterInstruction)
	}
	for _, label := range []struct{ of, is string }{{"AppArmor profile", p.GetApparmorProfile()}, {"SELinux context", p.GetSelinuxContext()}} {
		if label.is != "" {
			fmt.Fprintf(b, ", with the %s %s", label.of, quoteUnlessPlain(label.is))
		}
	}
	if p.GetConsole() > 0 {
		fmt.Fprintf(b, ", on console %d", p.GetConsole()-1)
	}
	b.WriteString("\n")
}

func readOnlyWord(readOnly bool) string {
	if readOnly {
		return " read-only"
	}
	return ""
}

func mappedWord(mapped bool) string {
	if mapped {
		return " mapped"
	}
	return ""
}

func exceptWords(paths []string) string {
	if len(paths) == 0 {
		return ""
	}
	return " but for " + strings.Join(paths, " ")
}

func upperWord(upper string, size uint64) string {
	if upper != "" {
		return "changes kept in " + upper
	}
	return "changes dropped" + sizeWord(size)
}

func sizeWord(size uint64) string {
	if size == 0 {
		return ""
	}
	return " " + strconv.FormatUint(size, 10) + " bytes"
}

func flagWords(flags []monitorv1.MountFlag) string {
	var b strings.Builder
	for _, f := range flags {
		b.WriteString(" " + strings.ToLower(strings.TrimPrefix(f.String(), "MOUNT_FLAG_")))
	}
	return b.String()
}

func actionWord(a monitorv1.Action) string {
	return strings.ToLower(strings.TrimPrefix(a.String(), "ACTION_"))
}

func limitWord(n uint64) string {
	if n == 1<<64-1 {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

func orWord(word, other string) string {
	if word == "" {
		return other
	}
	return word
}

// quoteUnlessPlain quotes a text that could be taken for more than one word.
func quoteUnlessPlain(s string) string {
	if q := quote(s); len(q) != len(s)+2 || s == "" || strings.ContainsAny(s, " \t") {
		return q
	}
	return s
}
