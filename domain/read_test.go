package domain_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/processor"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// minimal is the least that is admitted.
func minimal() *davitv1.Domain {
	return &davitv1.Domain{
		Type: davitv1.DomainType_DOMAIN_TYPE_LXC, Name: "a", MemoryKib: 1024,
		Os: &davitv1.Os{Type: "exe", Init: "/bin/sh"},
	}
}

func admitMessage(def *davitv1.Domain) (*davitv1.Domain, error) {
	got, _, err := domain.Read(
		&davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Definition{Definition: def}},
		domain.ReadOptions{Host: goldenHost()},
	)
	return got, err
}

// TestReadKeepsItsArgument: the caller's message is not changed, and what is admitted is admitted as it is.
func TestReadKeepsItsArgument(t *testing.T) {
	def := minimal()
	got, err := admitMessage(def)
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(def, minimal()) {
		t.Error("the caller's message was changed")
	}
	again, err := admitMessage(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, again, protocmp.Transform()); diff != "" {
		t.Errorf("admitting again changes it (-once +twice):\n%s", diff)
	}
}

// TestExamples: the documents that are shipped are understood in full.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../docs/examples/*.xml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, name := range files {
		source := &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: readFile(t, name)}}
		_, warnings, err := domain.Read(source, domain.ReadOptions{Strict: true, Host: goldenHost()})
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v %v", name, err, warnings)
		}
	}
}

// TestReadMakesUp: without a host's own way, identity and hardware addresses are made up, and differ.
func TestReadMakesUp(t *testing.T) {
	def := minimal()
	ethernet := davitv1.InterfaceType_INTERFACE_TYPE_ETHERNET
	def.Devices = &davitv1.Devices{Interface: []*davitv1.Interface{{Type: ethernet}, {Type: ethernet}}}
	source := &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Definition{Definition: def}}
	one, _, err := domain.Read(source, domain.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	two, _, err := domain.Read(source, domain.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if one.GetUuid() == two.GetUuid() {
		t.Errorf("two domains have the UUID %s", one.GetUuid())
	}
	if got, err := domain.ParseUUID(one.GetUuid()); err != nil || got != one.GetUuid() || got[14] != '4' {
		t.Errorf("%q is not a random UUID: %v", one.GetUuid(), err)
	}
	nics := one.GetDevices().GetInterface()
	if nics[0].GetMac() == nics[1].GetMac() || !strings.HasPrefix(nics[0].GetMac(), "52:54:00:") {
		t.Errorf("hardware addresses are %s and %s", nics[0].GetMac(), nics[1].GetMac())
	}
	if one.GetOs().GetArch() != "" {
		t.Errorf("the architecture %s was made up", one.GetOs().GetArch())
	}
}

// TestReadRefuses: what no notation can hold, what is not known, and what is nothing at all.
func TestReadRefuses(t *testing.T) {
	change := func(f func(*davitv1.Domain)) *davitv1.Domain {
		def := minimal()
		f(def)
		return def
	}
	unknown := minimal()
	unknown.Os.ProtoReflect().SetUnknown([]byte{0xf8, 0x7f, 0x01}) // field 2047, varint 1
	for _, c := range []struct {
		name   string
		def    *davitv1.Domain
		reason davitv1.ErrorReason
		want   string
	}{
		{"nothing", nil, davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID, "source: a definition is required"},
		{"empty", &davitv1.Domain{}, davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, "a domain needs a name"},
		{"unknown field", unknown, davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID, "os: field 2047 of davit.v1.Os is not known"},
		{
			"control character", change(func(d *davitv1.Domain) { d.Os.Initarg = []string{"a", "b\x1b"} }),
			davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, `/domain/os/initarg[2]: "b\x1b" contains the character U+001B`,
		},
		{
			"not UTF-8", change(func(d *davitv1.Domain) { d.Os.Initarg = []string{"a\xff"} }),
			davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, `/domain/os/initarg[1]: "a\xff" is not UTF-8`,
		},
		{
			"number of nothing", change(func(d *davitv1.Domain) { d.OnCrash = 77 }),
			davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, "/domain/on_crash: 77 is not one of destroy, restart",
		},
		{
			"size beyond XML", change(func(d *davitv1.Domain) { d.CurrentMemoryKib, d.MemoryKib = 1<<63, 1<<63 }),
			davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, "/domain/currentMemory: size 9223372036854775808 is above",
		},
		{
			"metadata that is no XML", change(func(d *davitv1.Domain) { d.Metadata = "<a:b>" }),
			davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, `/domain/metadata: 1:1: prefix "a" is not declared`,
		},
		{
			"metadata that ends its element", change(func(d *davitv1.Domain) { d.Metadata = "</metadata><name>x</name><metadata>" }),
			davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, "/domain/metadata: 1:1: an end tag without its element",
		},
		{
			"metadata of an endless namespace",
			change(func(d *davitv1.Domain) { d.Metadata = "<a:b xmlns:a='urn:" + strings.Repeat("x", 4093) + "'/>" }),
			davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, "has a namespace of 4097 bytes, 4096 are the limit",
		},
		{
			"metadata of too many applications",
			change(func(d *davitv1.Domain) {
				for i := range 257 {
					d.Metadata += fmt.Sprintf("<a:b xmlns:a='urn:%d'/>", i)
				}
			}),
			davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, "257 elements, 256 are the limit",
		},
		{
			"larger than can be stored", change(func(d *davitv1.Domain) { d.Description = strings.Repeat("&", domain.MaxDocument/4) }),
			davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, "1048576 are the limit",
		},
		{
			"more than can be stored", change(func(d *davitv1.Domain) { d.Os.Initarg = make([]string, domain.MaxElements) }),
			davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, "the document has more than 20000 elements",
		},
		{
			"argument beyond the kernel", change(func(d *davitv1.Domain) { d.Os.Initarg = []string{strings.Repeat("a", 131072)} }),
			davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, "argument has 131072 bytes, 131071 are the limit",
		},
		{
			"too many ranges", change(func(d *davitv1.Domain) {
				ranges := make([]*davitv1.IdRange, 341)
				for i := range ranges {
					ranges[i] = &davitv1.IdRange{Start: new(uint32), Target: new(uint32), Count: new(uint32)}
				}
				d.Idmap = &davitv1.IdMap{Uid: ranges, Gid: ranges[:1]}
			}),
			davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, "341 ranges are above 340",
		},
		{
			"more than can be warned of", change(func(d *davitv1.Domain) {
				d.Devices = &davitv1.Devices{Hostdev: make([]*davitv1.Hostdev, 3000)}
				for i := range d.Devices.Hostdev {
					d.Devices.Hostdev[i] = &davitv1.Hostdev{}
				}
			}),
			davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, "and 5950 more",
		},
		{
			"too many consoles", change(func(d *davitv1.Domain) {
				d.Devices = &davitv1.Devices{}
				for range 64 {
					d.Devices.Console = append(d.Devices.Console, &davitv1.Console{})
				}
			}),
			davitv1.ErrorReason_ERROR_REASON_DEFINITION_INVALID, "64 consoles are above 63",
		},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			_, err := admitMessage(c.def)
			var e *domain.Error
			if !errors.As(err, &e) || e.Code != codes.InvalidArgument || e.Reason != c.reason || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %v, %q", err, c.reason, c.want)
			}
		})
	}
	if _, _, err := domain.Read(nil, domain.ReadOptions{}); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("no source gives %v", err)
	}
}

// TestManyFaults: the list of faults is bounded and says what it leaves out.
func TestManyFaults(t *testing.T) {
	doc := within(strings.Repeat("<os/>", 1000))
	_, _, err := domain.ParseXML([]byte(doc), domain.ParseOptions{})
	var e *domain.Error
	if !errors.As(err, &e) || len(e.Violations) != domain.MaxViolations+1 {
		t.Fatalf("got %v", err)
	}
	if got := e.Violations[domain.MaxViolations].Message; got != fmt.Sprintf("and %d more", 999-domain.MaxViolations) {
		t.Errorf("the last fault says %q", got)
	}
	// Looking for each fault's place would take minutes.
	for _, doc := range []string{
		within(strings.Repeat("<x/>", domain.MaxElements-2)),
		within(strings.Repeat("<os/>", domain.MaxElements-2)),
		within("<title>" + strings.Repeat("a", 900000) + "</title>" + strings.Repeat("<os/>", 10000)),
	} {
		for _, strict := range []bool{false, true} {
			took := processor.Time(t, func() { _, _, _ = domain.ParseXML([]byte(doc), domain.ParseOptions{Strict: strict}) })
			if took > 2*time.Second {
				t.Errorf("%d bytes, strict %v: it took %v", len(doc), strict, took)
			}
		}
	}
	_, warnings, err := domain.ParseXML([]byte(within(strings.Repeat("<x/>", 1000))), domain.ParseOptions{})
	if err != nil || len(warnings) != domain.MaxViolations+1 {
		t.Errorf("%d warnings, %v", len(warnings), err)
	}
}

// TestManyWarnings: what is not honoured is told up to a bound, and the rest counted.
func TestManyWarnings(t *testing.T) {
	def := minimal()
	def.Devices = &davitv1.Devices{}
	for range 1000 {
		def.Devices.Disk = append(def.Devices.Disk, &davitv1.Disk{Driver: &davitv1.DiskDriver{Io: "native"}})
	}
	warnings := domain.NotHonoured(def)
	if last := warnings[len(warnings)-1]; len(warnings) != 65 || last.GetMessage() != "and 936 more" {
		t.Errorf("%d warnings, the last is %v", len(warnings), last)
	}
}

// TestInactive: what belongs to a running domain shows in its XML, and not in the inactive one.
func TestInactive(t *testing.T) {
	def, err := admitMessage(minimal())
	if err != nil {
		t.Fatal(err)
	}
	stored, err := domain.FormatXML(def, domain.FormatOptions{})
	if err != nil {
		t.Fatal(err)
	}
	def.Id = 7
	def.Devices.Console[0].Tty, def.Devices.Console[0].SourcePath, def.Devices.Console[0].Alias = "/dev/pts/3", "/dev/pts/3", "console0"
	live, err := domain.FormatXML(def, domain.FormatOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(stored, "<domain type='lxc'>", "<domain type='lxc' id='7'>", 1)
	want = strings.Replace(want, "    <console type='pty'>\n      <target type='lxc' port='0'/>\n",
		"    <console type='pty' tty='/dev/pts/3'>\n      <source path='/dev/pts/3'/>\n      <target type='lxc' port='0'/>\n      <alias name='console0'/>\n", 1)
	if diff := cmp.Diff(want, live); diff != "" {
		t.Errorf("the live form differs (-want +got):\n%s", diff)
	}
	inactive, err := domain.FormatXML(def, domain.FormatOptions{Inactive: true})
	if err != nil || inactive != stored {
		t.Errorf("the inactive form differs: %v\n%s", err, cmp.Diff(stored, inactive))
	}
	domain.Inactive(def)
	if got, _ := domain.FormatXML(def, domain.FormatOptions{}); got != stored {
		t.Errorf("Inactive left something:\n%s", cmp.Diff(stored, got))
	}
}

// TestEtag: it changes with the definition, and not with what a running domain adds.
func TestEtag(t *testing.T) {
	def, err := admitMessage(minimal())
	if err != nil {
		t.Fatal(err)
	}
	tag := domain.Etag(def)
	if len(tag) != 32 || domain.Etag(proto.CloneOf(def)) != tag {
		t.Errorf("etag %q is not one of the definition", tag)
	}
	def.Id, def.Devices.Console[0].Alias = 9, "console0"
	if domain.Etag(def) != tag {
		t.Error("the etag changes when the domain runs")
	}
	def.Title = "x"
	if domain.Etag(def) == tag {
		t.Error("the etag does not change with the title")
	}
	broken := &davitv1.Domain{Metadata: "<"}
	if domain.Etag(broken) == domain.Etag(&davitv1.Domain{Metadata: "<<"}) {
		t.Error("definitions without XML have one etag")
	}
}

// TestStrictHidesNothing: what a strict reading does not know stands beside what is wrong of what it does know.
func TestStrictHidesNothing(t *testing.T) {
	doc := `<domain type='lxc'><name>a</name><memory>65536</memory><os><type>exe</type><inti>/bin/sh</inti></os>
<devices><graphix/><filesystem><source dir='/a'/><target dir='b'/></filesystem></devices></domain>`
	_, _, err := domain.Read(xmlSource(doc), domain.ReadOptions{Strict: true, Host: goldenHost()})
	for _, want := range []string{`"inti" is not known; did you mean "init"?`, "/domain/os/init:", `"graphix" is not known`, `"b" is not absolute`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in %v", want, err)
		}
	}
}
