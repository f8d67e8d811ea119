package launch

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"
)

// maxNodes is how many memory nodes a policy can name; no kernel is built for more.
const maxNodes = 1024

// memoryPolicy chooses the nodes of the memory that the process, and its children, will have. A kernel that knows one node
// only has no choice to make.
func (a *assembler) memoryPolicy(p *monitorv1.MemoryPolicy) {
	if p == nil {
		return
	}
	mode := uint64(unix.MPOL_PREFERRED)
	if p.GetMode() == monitorv1.MemoryPolicyMode_MEMORY_POLICY_MODE_INTERLEAVE {
		mode = unix.MPOL_INTERLEAVE
	}
	mask := make([]uint64, maxNodes/64)
	for _, n := range p.GetNodes() {
		mask[n/64] |= 1 << (n % 64)
	}
	a.begin(step{operation: "set memory policy", object: memoryWords(p)})
	// The kernel takes one bit less than it is told.
	a.call(unix.SYS_SET_MEMPOLICY, num(mode), a.words("{"+nodeWords(p)+"}", mask...), num(maxNodes+1)).ignore(syscall.ENOSYS)
}

// checkMemoryPolicy refuses a policy that no kernel could be told.
func checkMemoryPolicy(p *monitorv1.MemoryPolicy) error {
	if p == nil {
		return nil
	}
	s := step{operation: "check process"}
	if modeWord(p) == "" {
		return invalid(s, "memory policy %d is not known", p.GetMode())
	}
	if len(p.GetNodes()) == 0 {
		return invalid(s, "the memory policy has no nodes")
	}
	for _, n := range p.GetNodes() {
		if n >= maxNodes {
			return invalid(s, "memory node %d is above %d", n, maxNodes-1)
		}
	}
	return nil
}

// memoryWords is "preferred from nodes 0,1".
func memoryWords(p *monitorv1.MemoryPolicy) string {
	return fmt.Sprintf("%s from nodes %s", modeWord(p), nodeWords(p))
}

func modeWord(p *monitorv1.MemoryPolicy) string {
	switch p.GetMode() {
	case monitorv1.MemoryPolicyMode_MEMORY_POLICY_MODE_PREFERRED:
		return "preferred"
	case monitorv1.MemoryPolicyMode_MEMORY_POLICY_MODE_INTERLEAVE:
		return "interleaved"
	case monitorv1.MemoryPolicyMode_MEMORY_POLICY_MODE_UNSPECIFIED:
	}
	return ""
}

func nodeWords(p *monitorv1.MemoryPolicy) string {
	words := make([]string, len(p.GetNodes()))
	for i, n := range p.GetNodes() {
		words[i] = strconv.FormatUint(uint64(n), 10)
	}
	return strings.Join(words, ",")
}
