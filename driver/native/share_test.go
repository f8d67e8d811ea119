package native_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const (
	byName  = davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_NAME
	byPID   = davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_PID
	byNetns = davitv1.LxcNamespaceSource_LXC_NAMESPACE_SOURCE_NETNS
)

// sharing shares all that can be shared, with an owner of a kind; netns has a network only.
func sharing(kind davitv1.LxcNamespaceSource, owner string) func(*davitv1.Domain) {
	return func(def *davitv1.Domain) {
		share := &davitv1.LxcNamespaceShare{Type: kind, Value: owner}
		def.LxcNamespace = &davitv1.LxcNamespace{Sharenet: share}
		if kind != byNetns {
			def.LxcNamespace.Shareipc, def.LxcNamespace.Shareuts = share, share
		}
	}
}

// namespace is which namespace a domain's init is in.
func namespace(tb testing.TB, i driver.Instance, file string) string {
	tb.Helper()
	st, err := i.Status(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", st.InitPID, file))
	if err != nil {
		tb.Fatal(err)
	}
	return link
}

// A domain that shares with another is in its namespaces, its commands are too, and it stays there when the other ends, it is
// started again, or davitd is.
func TestShareWithDomain(t *testing.T) {
	h := newHost(t, "11fe0040")
	d := h.open(t)
	web := h.spec(idle)
	owner := start(t, d, web)
	side := h.spec("hostname; trap 'exit 0' TERM; sleep infinity & wait", sharing(byName, web.Definition.GetName()), func(def *davitv1.Domain) {
		def.OnPoweroff = davitv1.LifecycleAction_LIFECYCLE_ACTION_RESTART
	})
	i := start(t, d, side)
	before := map[string]string{}
	for _, file := range []string{"net", "ipc", "uts", "pid", "user"} {
		before[file] = namespace(t, owner, file)
		if shared := file != "pid" && file != "user"; (namespace(t, i, file) == before[file]) != shared {
			t.Errorf("%s: %s and %s, shared is to be %v", file, before[file], namespace(t, i, file), shared)
		}
	}
	at := booted(t, i, 0, web.Definition.GetName())
	if got := strings.TrimSpace(output(t, i, "sh", "-c", "hostname; readlink /proc/self/ns/net")); got != web.Definition.GetName()+"\n"+before["net"] {
		t.Errorf("a command sees %q", got)
	}
	kill(t, owner)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = closing(t, h.open(t))
	i, err := d.Recover(t.Context(), side)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Signal(t.Context(), 1, 15); err != nil {
		t.Fatal(err)
	}
	booted(t, i, at, web.Definition.GetName())
	if got := namespace(t, i, "net"); got != before["net"] {
		t.Errorf("after a restart it is in %s, not in %s", got, before["net"])
	}
	kill(t, i)
}

func TestShareWithProcessAndNetns(t *testing.T) {
	h := newHost(t, "11fe0041")
	h.options.NetnsDir = t.TempDir()
	d := closing(t, h.open(t))
	owner := start(t, d, h.spec(idle))
	defer kill(t, owner)
	st, err := owner.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pid := strconv.FormatUint(uint64(st.InitPID), 10)
	for name, file := range map[string]string{"blue": "/proc/" + pid + "/ns/net", "other": "/proc/" + pid + "/ns/ipc", "plain": "/etc/passwd"} {
		if err := os.Symlink(file, filepath.Join(h.options.NetnsDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for kind, value := range map[davitv1.LxcNamespaceSource]string{byPID: pid, byNetns: "blue"} {
		spec := h.spec(idle, sharing(kind, value))
		if warnings, err := d.Check(t.Context(), spec.Definition); err != nil || len(warnings) > 0 {
			t.Errorf("check: %v, %v", warnings, err)
		}
		i := start(t, d, spec)
		if got, want := namespace(t, i, "net"), namespace(t, owner, "net"); got != want {
			t.Errorf("%v: network is %s, not %s", kind, got, want)
		}
		kill(t, i)
	}
	for _, test := range []struct {
		kind        davitv1.LxcNamespaceSource
		value, want string
	}{
		{byName, "nobody", `domain "nobody" does not run`},
		{byPID, "4194305", "there is no process 4194305"},
		{byPID, "web", `"web" is no process id`},
		{byPID, "0", `"0" is no process id`},
		{byNetns, "green", `there is no network namespace "green"`},
		{byNetns, "../ns/net", "is no name of a network namespace"},
		{byNetns, "plain", "it is no namespace"},
		{byNetns, "other", "it is a namespace of another kind"},
	} {
		spec := h.spec(idle, sharing(test.kind, test.value))
		warnings, err := d.Check(t.Context(), spec.Definition)
		if err != nil || len(warnings) == 0 || !strings.Contains(warnings[0].GetMessage(), test.want) ||
			warnings[0].GetXmlPath() != "/domain/lxc:namespace/lxc:sharenet/@value" {
			t.Errorf("check of %q: %v, %v", test.value, warnings, err)
		}
		_, err = d.Start(t.Context(), spec)
		e, ok := errors.AsType[*domain.Error](err)
		if !ok || !errors.Is(err, domain.ErrFailedPrecondition) || !strings.Contains(err.Error(), test.want) ||
			len(e.Violations) != 1 || e.Violations[0].Field != "lxc_namespace.sharenet.value" {
			t.Errorf("start with %q: %v, want %q", test.value, err, test.want)
		}
	}
	self := h.spec(idle)
	sharing(byName, self.Definition.GetName())(self.Definition)
	if _, err := d.Start(t.Context(), self); err == nil || !strings.Contains(err.Error(), "cannot share with itself") {
		t.Errorf("shared with itself: %v", err)
	}
}

// A guest in the host's own namespaces runs, and whoever defines it is told.
func TestShareWithHost(t *testing.T) {
	h := newHost(t, "11fe0042")
	d := closing(t, h.open(t))
	spec := h.spec(idle, sharing(byPID, strconv.Itoa(os.Getpid())))
	warnings, err := d.Check(t.Context(), spec.Definition)
	if err != nil || len(warnings) != 3 {
		t.Fatalf("check: %v, %v", warnings, err)
	}
	for i, word := range []string{"network", "IPC", "host name"} {
		if !strings.Contains(warnings[i].GetMessage(), word) || !strings.Contains(warnings[i].GetMessage(), "the host's own") {
			t.Errorf("warning %v does not tell of the host's own %s", warnings[i], word)
		}
	}
	i := start(t, d, spec)
	defer kill(t, i)
	if got := output(t, i, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"); !strings.Contains(got, "Read-only") {
		t.Errorf("the host's network can be changed: %q", got)
	}
}
