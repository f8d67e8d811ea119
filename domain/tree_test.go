package domain_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// TestHostileTrees: JSON and YAML that would harm a reader are refused, with a bound on the memory that it takes.
func TestHostileTrees(t *testing.T) {
	const quarter = domain.MaxDocument / 4
	for name, doc := range map[string]string{
		"empty":              "",
		"laughs":             "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]",
		"merge":              "<<: {name: a}",
		"binary":             "name: !!binary aGk=",
		"custom tag":         "name: !x a",
		"deep":               strings.Repeat("[", quarter),
		"deep mapping":       strings.Repeat(`{"a":`, 50) + "1" + strings.Repeat("}", 50),
		"deep block":         strings.Repeat("- ", quarter),
		"many":               "[" + strings.Repeat("1,", quarter-2) + "1]",
		"many lines":         strings.Repeat("a: b\n", quarter/2),
		"large":              `{"name": "` + strings.Repeat("a", domain.MaxTree) + `"}`,
		"not UTF-8":          "name: \xff",
		"nul":                "name: \x00",
		"two documents":      `{"name": "a"} {"name": "b"}`,
		"a list":             "[]",
		"a word":             "lxc",
		"key of a list":      "? [a]\n: b",
		"null key":           "null: a",
		"number as key":      "1: a",
		"unclosed":           `{"name": "a"`,
		"unclosed string":    `{"name": "a`,
		"trailing comma":     `{"name": "a",}]`,
		"comment in JSON":    `{"name": "a"} // b]`,
		"infinite":           "memory_kib: .inf",
		"a fraction":         "memory_kib: 1.0",
		"a negative size":    "memory_kib: -1",
		"beyond 64 bits":     "memory_kib: 18446744073709551616",
		"duplicate":          "{\"name\": \"a\", \"name\": \"a\"}",
		"duplicate, escaped": "{\"name\": \"a\", \"n\\u0061me\": \"a\"}",
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			for notation, parse := range map[string]func([]byte) (*davitv1.Domain, error){"YAML": domain.ParseYAML, "JSON": domain.ParseJSON} {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := parse([]byte(doc))
				runtime.ReadMemStats(&after)
				if grown := after.TotalAlloc - before.TotalAlloc; grown > 256<<20 {
					t.Errorf("%s: %d bytes were allocated for a document of %d", notation, grown, len(doc))
				}
				var e *domain.Error
				if !errors.As(err, &e) || !errors.Is(err, domain.ErrInvalid) {
					t.Errorf("%s: got %v, want a refusal", notation, err)
					continue
				}
				if len(e.Violations) == 0 || e.Violations[0].Line < 1 {
					t.Errorf("%s: the refusal has no place: %v", notation, e)
				}
			}
		})
	}
}

// TestStringsInYAML: text that YAML could take for something else is quoted, the rest reads well.
func TestStringsInYAML(t *testing.T) {
	for text, want := range map[string]string{
		"web":        "name: web\n",
		"/bin/sh":    "name: /bin/sh\n",
		"yes":        "name: \"yes\"\n",
		"On":         "name: \"On\"\n",
		"null":       "name: \"null\"\n",
		"1e3":        "name: \"1e3\"\n",
		"a b":        "name: \"a b\"\n",
		"a: b":       "name: \"a: b\"\n",
		"-c":         "name: \"-c\"\n",
		"":           "{}\n",
		"a\nb\n":     "name: |\n  a\n  b\n",
		"a\nb":       "name: |-\n  a\n  b\n",
		"a\n\nb":     "name: \"a\\n\\nb\"\n",
		" a\nb":      "name: \" a\\nb\"\n",
		"a\r\nb":     "name: \"a\\r\\nb\"\n",
		"2001-01-01": "name: \"2001-01-01\"\n",
	} {
		got, err := domain.FormatYAML(&davitv1.Domain{Name: text})
		if err != nil || got != want {
			t.Errorf("%q is written %q, %v; want %q", text, got, err, want)
		}
		back, err := domain.ParseYAML([]byte(got))
		if err != nil || back.GetName() != text {
			t.Errorf("%q comes back as %q, %v", text, back.GetName(), err)
		}
	}
	for name, format := range map[string]func(*davitv1.Domain) (string, error){"YAML": domain.FormatYAML, "JSON": domain.FormatJSON} {
		if got, err := format(&davitv1.Domain{Name: "a\xff"}); err == nil {
			t.Errorf("%s of text that is not UTF-8 is %q", name, got)
		}
	}
}

// limitDocuments are documents of nearly the greatest size that say much more in JSON or YAML than in XML.
func limitDocuments() map[string]string {
	docs := largeDocuments()
	const head = "<domain type='lxc'><name>large</name><memory>65536</memory><os><type>exe</type><init>/init</init>"
	top := func(body string) string { return head + "</os>" + body + "</domain>" }
	const room = domain.MaxDocument - 1500
	for name, text := range map[string]string{
		"backslashes": `\`, "deletes": "\x7f", "separators": "\u2028", "marks": "\ufeff", "faces": "\U0001F600", "controls": "\u0081",
		"lines": "x\n", "empty lines": "\n", "words": "yes\n", "indented": " a\n", "tabs": "\t", "quotes": "'",
	} {
		size := len(text)
		if text == "'" {
			size = len("&apos;")
		}
		docs["text of "+name] = top("<description>." + strings.Repeat(text, room/size) + ".</description>")
		docs["arguments of "+name] = head + "<initarg>." + strings.Repeat(text, room/4/size) + ".</initarg><initenv name='A'>." +
			strings.Repeat(text, room/4/size) + ".</initenv></os></domain>"
		docs["kept with "+name] = top("<devices><video><a>." + strings.Repeat(text, room/2/size) + ".</a></video></devices>")
	}
	docs["id ranges"] = top("<idmap>" + repeatEach(func(i int) string {
		return fmt.Sprintf("<uid start='%d' target='%d' count='1'/>", i, i+1)
	}, domain.MaxElements-30) + "<gid start='0' target='1' count='1'/></idmap>")
	docs["routes"] = top("<devices><interface type='ethernet'>" + repeatEach(func(i int) string {
		return fmt.Sprintf("<route address='10.%d.%d.0' prefix='24' gateway='10.0.0.1' metric='1'/>", i/250, i%250)
	}, 9800) + "</interface></devices>")
	docs["short arguments"] = head + strings.Repeat("<initarg>a</initarg>", domain.MaxElements-20) + "</os></domain>"
	return docs
}

// TestNotationsAtTheLimit: whatever was accepted in XML can be written and read back in JSON and YAML, however large it is.
func TestNotationsAtTheLimit(t *testing.T) {
	accepted := 0
	for name, doc := range limitDocuments() {
		def, _, err := domain.Read(xmlSource(doc), domain.ReadOptions{Host: goldenHost()})
		if err != nil {
			continue
		}
		accepted++
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			for notation, use := range map[string]struct {
				format func(*davitv1.Domain) (string, error)
				parse  func([]byte) (*davitv1.Domain, error)
			}{"JSON": {domain.FormatJSON, domain.ParseJSON}, "YAML": {domain.FormatYAML, domain.ParseYAML}} {
				text, err := use.format(def)
				if err != nil {
					t.Fatal(err)
				}
				back, err := use.parse([]byte(text))
				if err != nil {
					t.Errorf("%s of %d bytes is refused: %v", notation, len(text), err)
				} else if !proto.Equal(back, def) {
					t.Errorf("%s of %d bytes says something else", notation, len(text))
				}
			}
		})
	}
	if accepted < 40 {
		t.Errorf("%d documents were accepted", accepted)
	}
}
