package launch

import (
	"strconv"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// A filter is made of struct sock_filter, of which the kernel takes so many (BPF_MAXINSNS).
const (
	filterInstruction = 8
	maxFilter         = 4096
)

// checkFilter refuses a filter that no kernel could be told. What its instructions do the kernel checks itself.
func checkFilter(p *monitorv1.Process, s step) error {
	n := len(p.GetSeccomp())
	if n%filterInstruction != 0 || n > maxFilter*filterInstruction || n == 0 && p.GetSeccompName() != "" {
		return invalid(s, "system call filter %q has %d bytes, not 1 to %d instructions of %d", p.GetSeccompName(), n, maxFilter, filterInstruction)
	}
	return nil
}

// loadingCapability is what a filter takes to be loaded where programs can gain privileges; nothing if there is no such filter.
// The process has it until execve, which takes it away: nothing follows the loading but execve, so that no filter need
// allow what we do. The execve of root gives what is left in the bounding set, that of another user what is in the
// ambient set, which is empty.
func loadingCapability(p *monitorv1.Process) uint64 {
	if len(p.GetSeccomp()) == 0 || p.GetNoNewPrivs() {
		return 0
	}
	return 1 << unix.CAP_SYS_ADMIN
}

// filter loads the filter of system calls. Mitigations of speculation are left as the host has them: since Linux 5.16 a filter does
// not turn them on.
func (a *assembler) filter(p *monitorv1.Process) {
	a.begin(step{operation: opFilter, object: p.GetSeccompName()})
	code := a.bytes("{filter}", p.GetSeccomp())
	count := uint64(len(p.GetSeccomp()) / filterInstruction)
	a.call(unix.SYS_SECCOMP, num(unix.SECCOMP_SET_MODE_FILTER), num(0), a.words("{"+strconv.FormatUint(count, 10)+" instructions}", count, uint64(code.n)))
}

// opFilter is the last thing that is tried before the program runs.
const opFilter = "load system call filter"
