package domain_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const secret = "s3cr3t-passw0rd"

// secretDomain has a secret in each place that the schema says is one; places counts them.
func secretDomain(t *testing.T) (def *davitv1.Domain, places int) {
	t.Helper()
	def = &davitv1.Domain{Name: "web"}
	places = plant(def.ProtoReflect(), 0)
	if places < 3 {
		t.Fatalf("the schema has %d secrets", places)
	}
	return def, places
}

// plant puts a secret into each field of a message that is for one, at any depth.
func plant(m protoreflect.Message, depth int) (places int) {
	for i := range m.Descriptor().Fields().Len() {
		field := m.Descriptor().Fields().Get(i)
		opts, _ := proto.GetExtension(field.Options(), davitv1.E_Xml).(*davitv1.XmlField)
		switch {
		case opts.GetSecret():
			m.Set(field, protoreflect.ValueOfString(secret))
			places++
		case len(opts.GetPassword()) > 0:
			list := m.Mutable(field).List()
			for _, name := range opts.GetPassword() {
				kept := opts.GetKept()[0]
				list.Append(protoreflect.ValueOfString("<" + kept + " a='b' " + name + "='" + secret + "'><x><" + name + " a='b'>" + secret + "</" + name + "></x></" + kept + ">"))
				places++
			}
		case field.Message() != nil && !field.IsMap() && depth < 6:
			sub := m.NewField(field)
			inner := sub
			if field.IsList() {
				inner = sub.List().AppendMutable()
			}
			if n := plant(inner.Message(), depth+1); n > 0 {
				m.Set(field, sub)
				places += n
			}
		}
	}
	return places
}

func text(t *testing.T, def *davitv1.Domain) string {
	t.Helper()
	json, err := domain.FormatJSON(def)
	if err != nil {
		t.Fatal(err)
	}
	xml, err := domain.FormatXML(def, domain.FormatOptions{})
	if err != nil {
		t.Fatal(err)
	}
	yaml, err := domain.FormatYAML(def)
	if err != nil {
		t.Fatal(err)
	}
	return json + xml + yaml
}

// Whatever the schema says is secret is withheld from those who may only look, passwords from those who do not ask, and all of
// it comes back when the definition does.
func TestSecrets(t *testing.T) {
	def, places := secretDomain(t)
	whole := proto.CloneOf(def)
	if !domain.HoldsSecrets(def) || domain.HasWithheld(def) || strings.Count(text(t, def), secret) < places {
		t.Fatalf("no secrets in %v", def)
	}
	look := proto.CloneOf(def)
	if !domain.Withhold(look, domain.SightLook) || strings.Contains(text(t, look), secret) || !domain.HasWithheld(look) {
		t.Errorf("whoever looks sees %s", text(t, look))
	}
	plain := proto.CloneOf(def)
	plain.Os.Initenv[0].Name = "A"
	if !domain.Withhold(plain, domain.SightPlain) || plain.GetOs().GetInitenv()[0].GetValue() != secret ||
		strings.Count(text(t, plain), secret) != 3 { // in each notation once
		t.Errorf("whoever does not ask sees %s", text(t, plain))
	}
	if domain.Withhold(def, domain.SightFull) || !proto.Equal(def, whole) {
		t.Errorf("whoever asks sees %v", def)
	}
	if err := domain.Restore(look, whole); err != nil || domain.HasWithheld(look) {
		t.Errorf("restored: %v, %v", err, look)
	}
	var got, want strings.Builder
	got.WriteString(text(t, look))
	want.WriteString(text(t, whole))
	if strings.Count(got.String(), secret) != strings.Count(want.String(), secret) {
		t.Errorf("restored is\n%s\nwant\n%s", got.String(), want.String())
	}
}

func env(pairs ...string) *davitv1.Domain {
	def := &davitv1.Domain{Name: "web", Os: &davitv1.Os{}}
	for i := 0; i < len(pairs); i += 2 {
		def.Os.Initenv = append(def.Os.Initenv, &davitv1.InitEnv{Name: pairs[i], Value: pairs[i+1]})
	}
	return def
}

// A secret is put back where it was, wherever its entry is now; one that there is none of is refused with its place.
func TestRestore(t *testing.T) {
	for _, test := range []struct {
		name            string
		def, from, want *davitv1.Domain
		place           string // of the fault
	}{
		{"as it was", env("A", domain.Withheld), env("A", "1"), env("A", "1"), ""},
		{"in another order", env("B", domain.Withheld, "A", domain.Withheld), env("A", "1", "B", "2"), env("B", "2", "A", "1"), ""},
		{"one given", env("A", "new", "B", domain.Withheld), env("A", "1", "B", "2"), env("A", "new", "B", "2"), ""},
		{"one gone", env("B", domain.Withheld), env("A", "1", "B", "2"), env("B", "2"), ""},
		{"twice", env("A", domain.Withheld, "A", domain.Withheld), env("A", "1", "A", "2"), env("A", "1", "A", "2"), ""},
		{"renamed", env("C", domain.Withheld), env("A", "1"), nil, "os.initenv[0].value"},
		{"one too many", env("A", domain.Withheld, "A", domain.Withheld), env("A", "1"), nil, "os.initenv[1].value"},
		{"new domain", env("B", "1", "A", domain.Withheld), nil, nil, "os.initenv[1].value"},
		{"was empty", env("A", domain.Withheld), env("A", ""), nil, "os.initenv[0].value"},
		{"nothing withheld", env("A", "(withheld) or not"), nil, env("A", "(withheld) or not"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			def := proto.CloneOf(test.def)
			err := domain.Restore(def, test.from)
			if test.place == "" {
				if err != nil || !proto.Equal(def, test.want) {
					t.Errorf("restored is %v, %v, want %v", def, err, test.want)
				}
				return
			}
			var e *domain.Error
			if !errors.As(err, &e) || len(e.Violations) != 1 || e.Violations[0].Field != test.place {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// A password comes back with its element; one of an element that is another now is asked for.
func TestRestorePassword(t *testing.T) {
	vnc := func(port, passwd string) *davitv1.Domain {
		return &davitv1.Domain{Name: "web", Devices: &davitv1.Devices{Other: []string{"<graphics type='vnc' port='" + port + "' passwd='" + passwd + "'/>"}}}
	}
	def := vnc("1", domain.Withheld)
	if err := domain.Restore(def, vnc("1", secret)); err != nil || !proto.Equal(def, vnc("1", secret)) {
		t.Errorf("restored is %v, %v", def, err)
	}
	if err := domain.Restore(vnc("2", domain.Withheld), vnc("1", secret)); !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), "devices.other[0]") {
		t.Errorf("another element: %v", err)
	}
	unreadable := &davitv1.Domain{Devices: &davitv1.Devices{Other: []string{"<graphics passwd='" + secret}}}
	if !domain.Withhold(unreadable, domain.SightPlain) || strings.Contains(unreadable.String(), secret) {
		t.Errorf("withheld is %v", unreadable)
	}
}

// A device that takes the place of another keeps its secrets, whatever else of it changes; one that takes no place has none to keep.
func TestRestoreDevice(t *testing.T) {
	disk := func(source, target, name, cookie string) *davitv1.Device {
		doc, err := domain.ReadDevice(&davitv1.DeviceSource{Source: &davitv1.DeviceSource_Text{Text: "<disk type='file' device='disk'><source file='" + source + "'/><target dev='" + target +
			"'/><mirror><source><cookies><cookie name='" + name + "'>" + cookie + "</cookie></cookies></source></mirror></disk>"}}, false)
		if err != nil {
			t.Fatal(err)
		}
		return doc.Device
	}
	def, _, err := domain.Attach(storedDef(t), disk("/x", "vdb", "c", secret), nil)
	if err != nil {
		t.Fatal(err)
	}
	next, _, now, err := domain.Replace(def, disk("/y", "vdb", "c", domain.Withheld))
	if err != nil || domain.HasWithheld(next) || !strings.Contains(next.String(), secret) {
		t.Errorf("the definition is now %v, %v", next, err)
	}
	if text := now.String(); !strings.Contains(text, secret) || !strings.Contains(text, "/y") {
		t.Errorf("the device is now %s", text)
	}
	for name, change := range map[string]func() error{
		"another element": func() error { _, _, _, err := domain.Replace(def, disk("/y", "vdb", "d", domain.Withheld)); return err },
		"new device": func() error {
			_, _, err := domain.Attach(def, disk("/y", "vdc", "c", domain.Withheld), nil)
			return err
		},
	} {
		var e *domain.Error
		if err := change(); !errors.As(err, &e) || !errors.Is(err, domain.ErrInvalid) || len(e.Violations) != 1 || !strings.HasPrefix(e.Violations[0].Field, "disk.") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
