package domain_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// told are changes as lines: the field, the values, the effect.
func told(changes []*davitv1.FieldChange) []string {
	var lines []string
	for _, c := range changes {
		effect := strings.ToLower(strings.TrimPrefix(c.GetEffect().String(), "CHANGE_EFFECT_"))
		lines = append(lines, fmt.Sprintf("%s: %q -> %q, %s", c.GetField(), c.GetOld(), c.GetNew(), effect))
	}
	return lines
}

// canonical reads a document with what is given between its name and its end.
func canonical(t *testing.T, inner string) *davitv1.Domain {
	t.Helper()
	doc := `<domain type='lxc' xmlns:lxc='http://libvirt.org/schemas/domain/lxc/1.0' xmlns:davit='https://github.com/davitd/davit/schemas/domain/1.0'>` +
		`<name>web</name><memory>1024</memory>` + inner + `</domain>`
	def, _, err := domain.ParseXML([]byte(doc), domain.ParseOptions{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	domain.Normalize(def)
	return def
}

// filesystems is a document with a mount on each of the targets.
func filesystems(targets string) string {
	var b strings.Builder
	for target := range strings.FieldsSeq(targets) {
		fmt.Fprintf(&b, "<filesystem><source dir='/srv'/><target dir='%s'/></filesystem>", target)
	}
	return "<devices>" + b.String() + "</devices>"
}

// TestDiff: what differs is told once, where it is, and for what it comes down to.
func TestDiff(t *testing.T) {
	const mount = `{"type":"mount","accessmode":"passthrough","source_dir":"/srv","target_dir":"%s"}`
	nic := func(inner string) string {
		return "<devices><interface type='bridge'>" + inner + "</interface></devices>"
	}
	for _, c := range []struct {
		name, from, to string
		want           []string
	}{
		{
			"value", "<davit:pids limit='5'/>", "<davit:pids limit='6'/>",
			[]string{`pids_limit: "5" -> "6", live`},
		},
		{
			"memory within what there is", "<currentMemory>512</currentMemory>", "<currentMemory>1024</currentMemory>",
			[]string{`current_memory_kib: "512" -> "1024", live`},
		},
		{
			"memory nodes of a bound domain", "<numatune><memory mode='strict' nodeset='0'/></numatune>", "<numatune><memory mode='strict' nodeset='1'/></numatune>",
			[]string{`numatune.nodeset: "0" -> "1", live`},
		},
		{
			"memory nodes of another", "<numatune><memory mode='interleave' nodeset='0'/></numatune>", "<numatune><memory mode='interleave' nodeset='1'/></numatune>",
			[]string{`numatune.nodeset: "0" -> "1", next_boot`},
		},
		{
			"limits of a device", "<blkiotune><device><path>/dev/sda</path><weight>5</weight></device></blkiotune>",
			"<blkiotune><device><path>/dev/sdb</path><weight>5</weight></device><device><path>/dev/sda</path><weight>6</weight></device></blkiotune>",
			[]string{`blkiotune.device[0]: "" -> "{\"path\":\"/dev/sdb\",\"weight\":5}", live`, `blkiotune.device[1].weight: "5" -> "6", live`},
		},
		{"default written out", "", "<on_reboot>restart</on_reboot><vcpu placement='static'>1</vcpu>", nil},
		{"other unit", "<currentMemory unit='KiB'>512</currentMemory>", "<currentMemory unit='b'>524288</currentMemory>", nil},
		{"what is live", "", "<devices><console type='pty' tty='/dev/pts/3'><alias name='console0'/></console></devices>", []string{
			`devices.console[0]: "" -> "{\"type\":\"pty\",\"target_type\":\"lxc\",\"target_port\":0}", next_boot`,
		}},
		{
			"group that comes", "", "<cputune><shares>10</shares><quota>-1</quota></cputune>",
			[]string{`cputune.shares: "" -> "10", live`, `cputune.quota: "" -> "-1", live`},
		},
		{
			"one more mount in between", filesystems("/ /b /c"), filesystems("/ /a /b /c"),
			[]string{fmt.Sprintf("devices.filesystem[1]: %q -> %q, next_boot", "", fmt.Sprintf(mount, "/a"))},
		},
		{
			"one mount less", filesystems("/ /a /b"), filesystems("/ /b"),
			[]string{fmt.Sprintf("devices.filesystem[1]: %q -> %q, live", fmt.Sprintf(mount, "/a"), "")},
		},
		{
			"one more mount at the end", filesystems("/ /b"), filesystems("/ /b /a"),
			[]string{fmt.Sprintf("devices.filesystem[2]: %q -> %q, live", "", fmt.Sprintf(mount, "/a"))},
		},
		{
			"a root that comes", filesystems("/b"), filesystems("/b /"),
			[]string{fmt.Sprintf("devices.filesystem[1]: %q -> %q, next_boot", "", fmt.Sprintf(mount, "/"))},
		},
		{
			"a root that goes", filesystems("/ /b"), filesystems("/b"),
			[]string{fmt.Sprintf("devices.filesystem[0]: %q -> %q, next_boot", fmt.Sprintf(mount, "/"), "")},
		},
		{
			"a link that goes down", nic("<mac address='52:54:00:00:00:01'/>"), nic("<mac address='52:54:00:00:00:01'/><link state='down'/><mtu size='1400'/>"),
			[]string{`devices.interface[0].link_state: "" -> "down", live`, `devices.interface[0].mtu: "" -> "1400", next_boot`},
		},
		{
			"limits of traffic", nic("<mac address='52:54:00:00:00:01'/>"),
			nic("<mac address='52:54:00:00:00:01'/><bandwidth><inbound average='10' floor='5'/></bandwidth>"),
			[]string{
				`devices.interface[0].bandwidth.inbound.average: "" -> "10", live`,
				`devices.interface[0].bandwidth.inbound.floor: "" -> "5", none`,
			},
		},
		{
			"order of mounts", filesystems("/ /a /b"), filesystems("/b / /a"),
			[]string{`devices.filesystem: "[\"/\",\"/a\",\"/b\"]" -> "[\"/b\",\"/\",\"/a\"]", next_boot`},
		},
		{
			"arguments", "<os><type>exe</type><initarg>-c</initarg><initarg>a b</initarg></os>",
			"<os><type>exe</type><initarg>a b</initarg><initarg>-c</initarg></os>",
			[]string{`os.initarg: "[\"-c\",\"a b\"]" -> "[\"a b\",\"-c\"]", next_boot`},
		},
		{
			"order of variables", "<os><type>exe</type><initenv name='A'>1</initenv><initenv name='B'>2</initenv></os>",
			"<os><type>exe</type><initenv name='B'>2</initenv><initenv name='A'>3</initenv></os>",
			[]string{`os.initenv[1].value: "1" -> "3", next_boot`},
		},
		{
			"metadata", "<metadata><a:x xmlns:a='urn:a' v='1'/><b:x xmlns:b='urn:b'/></metadata>",
			"<metadata><c:x xmlns:c='urn:c'/><a:x xmlns:a='urn:a' v='2'/></metadata>",
			[]string{
				`metadata[urn:c]: "" -> "<c:x xmlns:c=\"urn:c\"/>", live`,
				`metadata[urn:a]: "<a:x xmlns:a=\"urn:a\" v=\"1\"/>" -> "<a:x xmlns:a=\"urn:a\" v=\"2\"/>", live`,
				`metadata[urn:b]: "<b:x xmlns:b=\"urn:b\"/>" -> "", live`,
			},
		},
		{
			"what others act on", "<devices><graphics type='vnc'/><video/></devices>", "<devices><sound model='ac97'/><graphics type='spice'/><video/></devices>",
			[]string{`devices.other[0]: "<graphics type='vnc'/>" -> "<graphics type='spice'/>", none`, `devices.other[1]: "" -> "<sound model='ac97'/>", none`},
		},
		{
			"name and more memory", "", "<uuid>6b3e9c1c-5f0e-4c0e-9a53-0b0b54a0a001</uuid><memtune><min_guarantee>7</min_guarantee></memtune>",
			[]string{`uuid: "" -> "6b3e9c1c-5f0e-4c0e-9a53-0b0b54a0a001", redefine`, `memtune.min_guarantee_kib: "" -> "7", none`},
		},
		{
			"an address that another has now", nic("<mac address='52:54:00:00:00:01'/><guest dev='eth0'/>"), nic("<mac address='52:54:00:00:00:02'/><guest dev='eth0'/>"),
			[]string{`devices.interface[0].mac: "52:54:00:00:00:01" -> "52:54:00:00:00:02", ` + effectOf("devices.interface.mac")},
		},
		{
			"a name of the host's", nic("<mac address='52:54:00:00:00:01'/><target dev='vnet4'/>"), nic("<mac address='52:54:00:00:00:01'/>"), nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, to := canonical(t, c.from), canonical(t, c.to)
			if diff := cmp.Diff(c.want, told(domain.Diff(from, to, domain.DiffOptions{}))); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

func effectOf(path string) string {
	effect, _ := domain.EffectOf(path)
	return strings.ToLower(strings.TrimPrefix(effect.String(), "CHANGE_EFFECT_"))
}

// TestDiffOfMemory: what is above the most that a running domain can have waits for its next start, and only that.
func TestDiffOfMemory(t *testing.T) {
	small, large := &davitv1.Domain{MemoryKib: 10, CurrentMemoryKib: 5}, &davitv1.Domain{MemoryKib: 20, CurrentMemoryKib: 11}
	up := []string{`memory_kib: "10" -> "20", next_boot`, `current_memory_kib: "5" -> "11", next_boot`}
	if diff := cmp.Diff(up, told(domain.Diff(small, large, domain.DiffOptions{}))); diff != "" {
		t.Errorf("up (-want +got):\n%s", diff)
	}
	down := []string{`memory_kib: "20" -> "10", next_boot`, `current_memory_kib: "11" -> "5", live`}
	if diff := cmp.Diff(down, told(domain.Diff(large, small, domain.DiffOptions{}))); diff != "" {
		t.Errorf("down (-want +got):\n%s", diff)
	}
}

// TestDiffPlaces: a change has its place in both notations, and that of an entry is where it is now or was last.
func TestDiffPlaces(t *testing.T) {
	from := canonical(t, "<metadata><a:x xmlns:a='urn:a'/></metadata><cputune><vcpupin vcpu='0' cpuset='1'/></cputune>"+filesystems("/ /a"))
	to := canonical(t, "<cputune><vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='1' cpuset='1'/></cputune>"+
		strings.Replace(filesystems("/b /"), "</filesystem></devices>", "<readonly/></filesystem></devices>", 1))
	want := []string{
		"metadata[urn:a] /domain/metadata/a:x", "cputune.other[1] /domain/cputune/vcpupin[2]", "devices.filesystem[0] /domain/devices/filesystem[1]",
		"devices.filesystem[1].readonly /domain/devices/filesystem[2]/readonly", "devices.filesystem[1] /domain/devices/filesystem[2]",
	}
	var got []string
	for _, c := range domain.Diff(from, to, domain.DiffOptions{}) {
		got = append(got, c.GetField()+" "+c.GetXmlPath())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
}

// TestDiffUnchanged: what is the same is told when it is asked for, and only then.
func TestDiffUnchanged(t *testing.T) {
	from, to := canonical(t, "<title>a</title>"+filesystems("/")), canonical(t, "<title>b</title>"+filesystems("/"))
	all := domain.Diff(from, to, domain.DiffOptions{Unchanged: true})
	want := []string{
		`type: "lxc" -> "lxc", unchanged`, `name: "web" -> "web", unchanged`, `title: "a" -> "b", live`, `memory_kib: "1024" -> "1024", unchanged`,
		`current_memory_kib: "1024" -> "1024", unchanged`, `vcpu.placement: "static" -> "static", unchanged`, `vcpu.count: "1" -> "1", unchanged`,
		`clock.offset: "utc" -> "utc", unchanged`, `on_poweroff: "destroy" -> "destroy", unchanged`, `on_reboot: "restart" -> "restart", unchanged`,
		`on_crash: "destroy" -> "destroy", unchanged`, `devices.filesystem[0].type: "mount" -> "mount", unchanged`,
		`devices.filesystem[0].accessmode: "passthrough" -> "passthrough", unchanged`,
		`devices.filesystem[0].source_dir: "/srv" -> "/srv", unchanged`, `devices.filesystem[0].target_dir: "/" -> "/", unchanged`,
	}
	if diff := cmp.Diff(want, told(all)); diff != "" {
		t.Errorf("all fields (-want +got):\n%s", diff)
	}
}

// TestEffectOf: a field has the effect of what it is part of, and places in lists do not matter.
func TestEffectOf(t *testing.T) {
	for path, want := range map[string]string{
		"name": "redefine", "uuid": "redefine", "type": "redefine", "title": "live", "metadata": "live", "metadata[http://a.b/c]": "live",
		"memory_kib": "next_boot", "vcpu.count": "next_boot", "cputune.shares": "live", "os.init": "next_boot", "id": "none", "devices": "next_boot",
		"devices.filesystem[3].readonly": "next_boot", "devices.filesystem.readonly": "next_boot", "devices.filesystem[0].alias": "none",
		"devices.other[0]": "none", "memtune.min_guarantee_kib": "none", "": "unspecified", "cputune.": "unspecified", "name.x": "redefine", "nothing": "unspecified",
		"os.nothing": "unspecified",
	} {
		if got := effectOf(path); got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
	}
	for _, tunable := range domain.Tunables() {
		if got := effectOf(string(tunable)); (got == "live") != tunable.Live() {
			t.Errorf("%s: %s, and it can be changed live: %t", tunable, got, tunable.Live())
		}
	}
}
