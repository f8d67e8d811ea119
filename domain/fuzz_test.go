package domain_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// FuzzParseXML: whatever is accepted is well-formed XML to Go's own parser, with the same content; and once it is
// normalised it can be written and read again.
func FuzzParseXML(f *testing.F) {
	for _, def := range goldenDocuments(f) {
		text, err := domain.FormatXML(def, domain.FormatOptions{})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, doc := range hostileDocuments() {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		agreeWithGo(t, doc)
		def, _, err := domain.ParseXML([]byte(doc), domain.ParseOptions{})
		if err != nil {
			checkError(t, err)
			return
		}
		domain.Normalize(def)
		once := proto.CloneOf(def)
		domain.Normalize(def)
		same(t, "normalising again", once, def, doc)
		laws(t, def)
	})
}

// FuzzRead: whatever a document says, it is admitted, and then stored and admitted again as it is, or it is refused in
// order, the more so under strict.
func FuzzRead(f *testing.F) {
	for _, def := range goldenDocuments(f) {
		text, err := domain.FormatXML(def, domain.FormatOptions{})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, doc := range tableDocuments(f) {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		_, _, strictErr := domain.Read(xmlSource(doc), domain.ReadOptions{Strict: true, Host: goldenHost()})
		got, _, err := domain.Read(xmlSource(doc), domain.ReadOptions{Host: goldenHost()})
		if strictErr != nil {
			checkError(t, strictErr)
		}
		if err != nil {
			checkError(t, err)
			if strictErr == nil {
				t.Fatalf("strict admits what is refused: %v", err)
			}
			return
		}
		laws(t, got)
		again, err := admitMessage(got)
		if err != nil {
			t.Fatalf("refused when it comes again: %v", err)
		}
		same(t, "admitting again", got, again, doc)
	})
}

// FuzzKept: an element of other drivers that is admitted comes back as it is, at any depth.
func FuzzKept(f *testing.F) {
	for _, s := range []string{
		"<video/>", "<video a=\"'\"/>", "<video>a<b/> <c> </c></video>", "<video> <b> </b><!-- c --></video>", "<video xml:space='preserve'> <b/> </video>",
		"<video xmlns:a='u' a:b='c'><a:d/></video>", "<video><![CDATA[a]]> <b/></video>", "<video>&#32;<b/></video>", "<video>\r\n<b>\r</b></video>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		def := minimal()
		def.Devices = &davitv1.Devices{Other: []string{entry}}
		if domain.Validate(def) != nil {
			return
		}
		domain.Normalize(def)
		once := proto.CloneOf(def)
		domain.Normalize(def)
		same(t, "normalising again", once, def, entry)
		laws(t, def)
	})
}

// FuzzParseYAML: YAML and JSON are read without harm, and what is accepted can be written again.
func FuzzParseYAML(f *testing.F) {
	for _, def := range goldenDocuments(f) {
		text, err := domain.FormatYAML(def)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, doc := range []string{`{"name": "\ud800"}`, "{a: &x [*x]}", "- - - -", "name: !!binary aGk=", "? [a]\n: b", "%YAML 1.1\n---\na: b", "\"name\": |+\n a\n\n", "<<: {name: a}"} {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		for _, parse := range []func([]byte) (*davitv1.Domain, error){domain.ParseYAML, domain.ParseJSON} {
			def, err := parse([]byte(doc))
			if err != nil {
				checkError(t, err)
				continue
			}
			domain.Normalize(def)
			if domain.Validate(def) == nil {
				laws(t, def)
			}
		}
	})
}

// FuzzRoundTrip: any message off the wire that is admitted can be stored; the rest is refused in order.
func FuzzRoundTrip(f *testing.F) {
	for seed := range uint64(16) {
		wire, err := proto.Marshal(randomDomain(seed))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	for _, def := range goldenDocuments(f) {
		wire, err := proto.Marshal(def)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		def := &davitv1.Domain{}
		if proto.Unmarshal(wire, def) != nil {
			return
		}
		got, _, err := domain.Read(
			&davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Definition{Definition: def}},
			domain.ReadOptions{Host: goldenHost()},
		)
		if err != nil {
			checkError(t, err)
			return
		}
		laws(t, got)
		again, err := admitMessage(got)
		if err != nil {
			t.Fatalf("refused when it comes again: %v", err)
		}
		same(t, "admitting again", got, again, "")
	})
}

// FuzzMetadata: applications' XML that can be read is written so that it comes back, at any depth.
func FuzzMetadata(f *testing.F) {
	for _, s := range []string{
		`<a:x xmlns:a="urn:a"/>`, "<x xmlns='u'>a<y/> <z> </z></x>", "<x xmlns='u'> <y> </y><!-- c --></x>", "<x xmlns='u' xml:space='preserve'> <y/> </x>",
		"<x xmlns='u' xml:space='preserve'><y/></x>", "<x xmlns='u'><![CDATA[a]]> <y/></x>", "<a:x xmlns:a='u'><a:y xmlns:a='v'/></a:x>",
		"<x xmlns='u'><y xmlns=''/></x>", "<x xmlns='u'>&#32;<y/></x>", "<x xmlns='u'>\r\n<y>\r</y></x>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, inner string) {
		def := minimal()
		def.Metadata = inner
		if domain.Validate(def) != nil {
			return
		}
		domain.Normalize(def)
		once := proto.CloneOf(def)
		domain.Normalize(def)
		same(t, "normalising again", once, def, inner)
		laws(t, def)
	})
}

// FuzzCpuset: the canonical form means the same set, and is its own canonical form.
func FuzzCpuset(f *testing.F) {
	for _, s := range []string{"0", "0-3,^2,8", "0-4294967295", "0-9999999999", "^1", "1,,2", " 1 - 2", "8191", "8192", "3-1", "0x1", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		set, err := domain.ParseCpuset(s)
		if err != nil {
			return
		}
		again, err := domain.ParseCpuset(set.String())
		if err != nil || *again != *set || again.String() != set.String() {
			t.Errorf("%q is %q, which is %v, %v", s, set, again, err)
		}
	})
}

// checkError holds errors of reading to what is promised of them.
func checkError(t *testing.T, err error) {
	t.Helper()
	var e *domain.Error
	if !errors.As(err, &e) || !errors.Is(err, domain.ErrInvalid) || e.Reason == 0 {
		t.Fatalf("%#v is no error of reading", err)
	}
	if len(e.Violations) == 0 && e.Message == "" && e.Err == nil {
		t.Fatalf("%v says nothing", err)
	}
	if len(e.Violations) > domain.MaxViolations+1 {
		t.Fatalf("%d violations are told", len(e.Violations))
	}
	if back := domain.FromStatus(domain.ToStatus(err).Err()); back.Error() == "" {
		t.Fatalf("%v gets lost on the wire", err)
	}
}

// agreeWithGo compares the scanner with encoding/xml. Go's parser takes more, so only what the scanner accepts counts.
func agreeWithGo(t *testing.T, doc string) {
	t.Helper()
	got, err := domain.ScanEvents(doc)
	if err != nil || strings.Contains(doc, "<?xml") || strings.HasPrefix(doc, "\ufeff") {
		return
	}
	want, err := goEvents(doc)
	if err != nil && hasForeignName(err) {
		return
	}
	if err != nil {
		t.Fatalf("accepted, but Go's parser says: %v\n%s", err, doc)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("read otherwise than Go does (-go +davit):\n%s\n%s", diff, doc)
	}
}

// hasForeignName tells of a name beyond ASCII that Go refuses: it has the letters of XML 1.0 as it was first, the scanner and
// libxml2 those of its fifth edition.
func hasForeignName(err error) bool {
	_, name, ok := strings.Cut(err.Error(), "invalid XML name: ")
	return ok && strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII })
}

type openElement struct {
	index  int  // of the line of its text
	parent bool // of other elements
	text   strings.Builder
}

// goEvents reads a document with encoding/xml and tells it as domain.ScanEvents does.
func goEvents(doc string) ([]string, error) {
	dec := xml.NewDecoder(strings.NewReader(doc))
	var events []string
	var open []*openElement
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return slices.DeleteFunc(events, func(s string) bool { return s == `""` }), nil
		}
		if err != nil {
			return nil, err
		}
		switch k := token.(type) {
		case xml.StartElement:
			if len(open) > 0 {
				open[len(open)-1].parent = true
			}
			var attrs []string
			for _, a := range k.Attr {
				if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
					continue
				}
				space := domain.FoldSpace(a.Name.Space)
				if space == "xml" {
					space = "http://www.w3.org/XML/1998/namespace"
				}
				value := domain.FoldSpace(a.Value)
				attrs = append(attrs, fmt.Sprintf("%s %s=%q", space, a.Name.Local, value))
			}
			slices.Sort(attrs)
			events = append(events, fmt.Sprintf("<%s %s [%s]", domain.FoldSpace(k.Name.Space), k.Name.Local, strings.Join(attrs, ",")), `""`)
			open = append(open, &openElement{index: len(events) - 1})
		case xml.EndElement:
			last := open[len(open)-1]
			open = open[:len(open)-1]
			text := strings.TrimSpace(last.text.String())
			if last.parent {
				text = domain.DropSpace(text)
			}
			events[last.index] = fmt.Sprintf("%q", text)
			events = append(events, ">")
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].text.Write(k)
			}
		}
	}
}
