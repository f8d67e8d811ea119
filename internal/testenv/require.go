// Package testenv says what a test needs of its host, builds the programs that it starts, and sees to it that it leaves
// nothing behind.
//
// A test that needs something calls [Require] first: where the host lacks it, the test is skipped with the missing
// thing's name. DAVIT_TEST_REQUIRE, a list of those names separated by commas, turns such a skip into a failure, so that a
// machine that is meant to have them cannot hide a break; CI sets it. A privileged test calls [Residue] next.
package testenv

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Need is something that a test wants of its host.
type Need string

// The needs.
const (
	// Root is effective user id 0 with CAP_SYS_ADMIN.
	Root Need = "root"
	// UserNS is the right to make user namespaces.
	UserNS Need = "userns"
	// Overlay is overlayfs.
	Overlay Need = "overlay"
	// Cgroup is a mounted cgroup tree of any version that we may write to.
	Cgroup Need = "cgroup"
	// CgroupV1 is a mounted version 1 memory controller.
	CgroupV1 Need = "cgroup-v1"
	// CgroupV2 is a pure version 2 tree with the memory controller.
	CgroupV2 Need = "cgroup-v2"
)

// Require skips the test, or fails it where DAVIT_TEST_REQUIRE says so, unless the host has all that it needs.
func Require(tb testing.TB, needs ...Need) {
	tb.Helper()
	for _, need := range needs {
		why := missing(need)
		if why == "" {
			continue
		}
		if slices.Contains(strings.Split(os.Getenv("DAVIT_TEST_REQUIRE"), ","), string(need)) {
			tb.Fatalf("this host must have %q, and does not: %s", need, why)
		}
		tb.Skipf("needs %q: %s", need, why)
	}
}

// Has tells whether the host has what a test would need.
func Has(need Need) bool { return missing(need) == "" }

// missing says what is lacking, or nothing.
func missing(need Need) string {
	switch need {
	case Root:
		return missingRoot()
	case UserNS:
		if _, err := os.Stat("/proc/self/ns/user"); err != nil {
			return "the kernel has no user namespaces"
		}
		return missingRoot()
	case Overlay:
		return missingFilesystem("overlay")
	case Cgroup:
		if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
			return missingRoot()
		}
		if _, err := os.Stat("/sys/fs/cgroup/memory/tasks"); err == nil {
			return missingRoot()
		}
		return "no cgroup tree at /sys/fs/cgroup"
	case CgroupV1:
		if _, err := os.Stat("/sys/fs/cgroup/memory/tasks"); err != nil {
			return "no version 1 memory controller at /sys/fs/cgroup/memory"
		}
		return missingRoot()
	case CgroupV2:
		have, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
		if err != nil || !slices.Contains(strings.Fields(string(have)), "memory") {
			return "no version 2 tree with the memory controller at /sys/fs/cgroup"
		}
		return missingRoot()
	}
	return "nobody knows what that is"
}

func missingRoot() string {
	if os.Geteuid() != 0 {
		return "not running as root"
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return "capget: " + err.Error()
	}
	if data[0].Effective&(1<<unix.CAP_SYS_ADMIN) == 0 {
		return "root without CAP_SYS_ADMIN"
	}
	return ""
}

func missingFilesystem(name string) string {
	list, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return err.Error()
	}
	if !slices.Contains(strings.Fields(string(list)), name) {
		return "the kernel has no " + name + " (a module that is not loaded?)"
	}
	return missingRoot()
}
