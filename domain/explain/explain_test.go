package explain_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/domain/explain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const (
	live     = davitv1.ChangeEffect_CHANGE_EFFECT_LIVE
	nextBoot = davitv1.ChangeEffect_CHANGE_EFFECT_NEXT_BOOT
	redefine = davitv1.ChangeEffect_CHANGE_EFFECT_REDEFINE
	none     = davitv1.ChangeEffect_CHANGE_EFFECT_NONE
)

// TestLookup asks for places of each kind in each spelling. What the schema says of a field is not repeated here: only
// that it is there.
func TestLookup(t *testing.T) {
	ref := explain.New()
	tests := []struct {
		ask  string
		want explain.Entry
	}{
		{"domain.devices.filesystem.accessmode", explain.Entry{
			Path: "domain.devices.filesystem.accessmode", XML: "/domain/devices/filesystem/@accessmode",
			Spelling: "<filesystem accessmode='passthrough'/>", Kind: explain.Word, Default: "passthrough", Effect: nextBoot,
		}},
		{"domain.devices.filesystem.accessmode.mapped", explain.Entry{
			Path: "domain.devices.filesystem.accessmode.mapped", XML: "/domain/devices/filesystem/@accessmode",
			Spelling: "<filesystem accessmode='mapped'/>", Kind: explain.Word, Effect: nextBoot,
		}},
		{"cputune.shares", explain.Entry{
			Path: "domain.cputune.shares", XML: "/domain/cputune/shares", Spelling: "<shares>N</shares>", Kind: explain.Number,
			Range: "2 to 262144", Effect: live,
		}},
		{"/domain/cputune/quota", explain.Entry{
			Path: "domain.cputune.quota", XML: "/domain/cputune/quota", Spelling: "<quota>N</quota>", Kind: explain.Number,
			Range: "at most 0 or 1000 to 17592186044415", Effect: live,
		}},
		{"/domain/memory", explain.Entry{
			Path: "domain.memory_kib", XML: "/domain/memory", Spelling: "<memory unit='KiB'>N</memory>", Kind: explain.Size,
			Required: true, Range: "1 to 9007199254740990", Unit: "KiB", UnitAttr: "memory/@unit", Effect: nextBoot,
		}},
		{"/domain/memory/@unit", explain.Entry{
			Path: "domain.memory_kib", XML: "/domain/memory", Spelling: "<memory unit='KiB'>N</memory>", Kind: explain.Size,
			Required: true, Range: "1 to 9007199254740990", Unit: "KiB", UnitAttr: "memory/@unit", Effect: nextBoot,
		}},
		{"devices.filesystem[3].source_usage_kib", explain.Entry{
			Path: "domain.devices.filesystem.source_usage_kib", XML: "/domain/devices/filesystem/source/@usage",
			Spelling: "<source usage='N' units='KiB'/>", Kind: explain.Size, Range: "0 to 9007199254740991", Unit: "KiB",
			UnitAttr: "source/@units", Effect: nextBoot,
		}},
		{"/domain/devices/filesystem[2]/davit:overlay/@upper", explain.Entry{
			Path: "domain.devices.filesystem.overlay_upper", XML: "/domain/devices/filesystem/davit:overlay/@upper",
			Spelling: "<davit:overlay upper='discard'/>", Kind: explain.Word, Effect: nextBoot,
		}},
		{"devices.filesystem.readonly", explain.Entry{
			Path: "domain.devices.filesystem.readonly", XML: "/domain/devices/filesystem/readonly", Spelling: "<readonly/>",
			Kind: explain.Flag, Effect: nextBoot,
		}},
		{"features.capabilities.chown", explain.Entry{
			Path: "domain.features.capabilities.chown", XML: "/domain/features/capabilities/chown/@state",
			Spelling: "<chown state='on'/>", Kind: explain.Switch, Effect: nextBoot,
		}},
		{"vcpu.count", explain.Entry{
			Path: "domain.vcpu.count", XML: "/domain/vcpu", Spelling: "<vcpu>1</vcpu>", Kind: explain.Number, Default: "1",
			Range: "1 to 8192", Effect: nextBoot,
		}},
		{"os.initarg", explain.Entry{
			Path: "domain.os.initarg", XML: "/domain/os/initarg", Spelling: "<initarg>...</initarg>", Kind: explain.Text, List: true,
			Effect: nextBoot,
		}},
		{"id", explain.Entry{
			Path: "domain.id", XML: "/domain/@id", Spelling: "<domain id='N'/>", Kind: explain.Number, Range: "0 to 4294967295",
			Output: true, Effect: none,
		}},
		{"uuid", explain.Entry{
			Path: "domain.uuid", XML: "/domain/uuid", Spelling: "<uuid>...</uuid>", Kind: explain.Text, Effect: redefine,
		}},
		{"metadata", explain.Entry{
			Path: "domain.metadata", XML: "/domain/metadata", Spelling: "<metadata>...</metadata>", Kind: explain.Raw, Effect: live,
		}},
		{"/domain/os/loader", explain.Entry{
			Path: "domain.os.other", XML: "/domain/os/loader", Spelling: "<loader>...</loader>", Kind: explain.Element, List: true,
			Effect: none,
		}},
		{"devices.interface.virtualport.type.802.1Qbg", explain.Entry{
			Path: "domain.devices.interface.virtualport.type.802.1Qbg", XML: "/domain/devices/interface/virtualport/@type",
			Spelling: "<virtualport type='802.1Qbg'/>", Kind: explain.Word, Effect: none,
		}},
	}
	for _, c := range tests {
		got, err := ref.Lookup(c.ask)
		if err != nil {
			t.Errorf("%s: %v", c.ask, err)
			continue
		}
		if got.Meaning == "" {
			t.Errorf("%s: nothing is said of it", c.ask)
		}
		plain := *got
		plain.Meaning, plain.EffectReason, plain.NotHonoured, plain.Values, plain.Children = "", "", "", nil, nil
		if diff := cmp.Diff(c.want, plain); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.ask, diff)
		}
	}
}

// TestLookupWords: words have meanings of their own.
func TestLookupWords(t *testing.T) {
	e, err := explain.New().Lookup("devices.filesystem.type")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, v := range e.Values {
		words = append(words, v.Word)
		if v.Meaning == "" {
			t.Errorf("nothing is said of %s", v.Word)
		}
	}
	if diff := cmp.Diff([]string{"mount", "template", "file", "block", "ram", "bind", "volume"}, words); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestLookupGroups: a group tells what is in it, and so does an element that has no field of its own.
func TestLookupGroups(t *testing.T) {
	ref := explain.New()
	for ask, want := range map[string]string{
		"":                                    "domain.type",
		"domain":                              "domain.devices",
		"/domain":                             "domain.memory_kib",
		"domain.devices":                      "domain.devices.filesystem",
		"/domain/devices/filesystem":          "domain.devices.filesystem.target_dir",
		"/domain/devices/filesystem/source":   "domain.devices.filesystem.source_usage_kib",
		"/domain/resource":                    "domain.partition",
		"/domain/resource/fibrechannel":       "domain.fibrechannel_appid",
		"/domain/devices/interface/source/ip": "domain.devices.interface.source_ip.address",
	} {
		e, err := ref.Lookup(ask)
		if err != nil {
			t.Errorf("%q: %v", ask, err)
			continue
		}
		found := false
		for _, c := range e.Children {
			found = found || c.Path == want
			if !strings.HasPrefix(c.XML, e.XML) {
				t.Errorf("%q: %s stands at %s, which is not below it", ask, c.Path, c.XML)
			}
		}
		if !found {
			t.Errorf("%q does not tell of %s", ask, want)
		}
	}
}

// TestEveryPlaceIsFound: each place is found by its path in the model, and what is there by its path in the XML is the same.
func TestEveryPlaceIsFound(t *testing.T) {
	ref := explain.New()
	count := 0
	for e := range ref.All() {
		count++
		got, err := ref.Lookup(e.Path)
		if err != nil {
			t.Error(err)
			continue
		}
		if e.Meaning == "" || e.XML == "" || got.Path != e.Path {
			t.Errorf("%s is %+v", e.Path, e)
		}
		if e.Kind == explain.Group && len(got.Children) == 0 {
			t.Errorf("nothing is in %s", e.Path)
		}
		effect, reason := domain.EffectOf(strings.TrimPrefix(e.Path, "domain."))
		if kept := effect == none && !e.Output; kept != (e.NotHonoured != "") {
			t.Errorf("%s: %v, and not acted on for %q", e.Path, effect, e.NotHonoured)
		}
		if e.Kind != explain.Group && e.Effect != effect || e.EffectReason != reason {
			t.Errorf("%s: a change is %v (%s), not %v (%s)", e.Path, e.Effect, e.EffectReason, effect, reason)
		}
		if len(e.Kept) > 0 {
			continue // at "*"
		}
		if got, err = ref.Lookup(e.XML); err != nil || got.Path != e.Path && e.Kind == explain.Group {
			t.Errorf("%s is not at %s: %v", e.Path, e.XML, err)
		}
	}
	if count < 250 {
		t.Errorf("there are %d places: not all are looked at", count)
	}
}

func TestUnknownPaths(t *testing.T) {
	ref := explain.New()
	for ask, want := range map[string][]string{
		"domain.devices.filesystem.acessmode":   {"domain.devices.filesystem.accessmode"},
		"devices.filesystem.accessmode.maped":   {"domain.devices.filesystem.accessmode.mapped"},
		"acessmode":                             {"domain.devices.filesystem.accessmode"},
		"accessmode":                            {"domain.devices.filesystem.accessmode"},
		"cputune.sharse":                        {"domain.cputune.shares"},
		"cpu_tune.shares":                       {"domain.cputune.shares"},
		"/domain/devices/filesystem/@acessmode": {"/domain/devices/filesystem/@accessmode"},
		"/domain/device/filesystem/@accessmode": {"/domain/devices/filesystem/@accessmode"},
		"/domian/name":                          {"/domain/name"},
		"domain.devises":                        {"domain.devices"},
		"nothing.of.the.kind":                   nil,
		"domain.name.more":                      nil,
		"/":                                     nil,
		".":                                     nil,
		"/domain/@type/more":                    nil,
		"domain..name":                          {"domain.name"},
	} {
		_, err := ref.Lookup(ask)
		unknown, ok := errors.AsType[*explain.UnknownError](err)
		if !ok {
			t.Errorf("%q: %v", ask, err)
			continue
		}
		if len(want) == 0 {
			continue // nothing has to be guessed
		}
		if len(unknown.Nearest) == 0 || unknown.Nearest[0] != want[0] {
			t.Errorf("%q: may be one of %q, not %q", ask, unknown.Nearest, want)
		}
	}
}

func ExampleReference_Lookup() {
	entry, err := explain.New().Lookup("/domain/devices/filesystem/davit:overlay/@upper")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(entry.Path)
	for _, v := range entry.Values {
		fmt.Println(v.Word)
	}
	// Output:
	// domain.devices.filesystem.overlay_upper
	// discard
	// keep
}
