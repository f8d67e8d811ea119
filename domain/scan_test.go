package domain_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/processor"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// within puts something into an otherwise good document.
func within(s string) string {
	return "<domain type='lxc'>\n<name>a</name>\n" + s + "\n</domain>"
}

// hostileDocuments are ways to harm a parser, or to make two parsers read different things.
func hostileDocuments() map[string]string {
	return map[string]string{
		"billion laughs":        `<!DOCTYPE domain [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>` + within("<title>&b;</title>"),
		"external entity":       `<!DOCTYPE domain [<!ENTITY a SYSTEM "file:///etc/passwd">]>` + within("<title>&a;</title>"),
		"external subset":       `<!DOCTYPE domain SYSTEM "http://example.org/x.dtd">` + within(""),
		"entity of nobody":      within("<title>&nbsp;</title>"),
		"stylesheet":            `<?xml-stylesheet href="x"?>` + within(""),
		"instruction inside":    within("<?php x ?>"),
		"duplicate attribute":   "<domain type='lxc' type='lxc'/>",
		"duplicate by prefix":   within("<metadata><x xmlns:a='u' xmlns:b='u' a:y='1' b:y='2'/></metadata>"),
		"undeclared prefix":     within("<lxc:namespace/>"),
		"undeclared attribute":  within("<name a:b='c'/>"),
		"prefix xmlns":          within("<metadata xmlns:xmlns='u'/>"),
		"prefix to nothing":     within("<metadata xmlns:a=''/>"),
		"two roots":             within("") + within(""),
		"text after":            within("") + "x",
		"text before":           "x" + within(""),
		"cdata outside":         "<![CDATA[x]]>" + within(""),
		"empty":                 "",
		"blank":                 " \n ",
		"only a comment":        "<!-- x -->",
		"unclosed":              "<domain type='lxc'><name>a</name>",
		"unclosed start":        "<domain type='lxc'",
		"unclosed value":        "<domain type='lxc",
		"unclosed comment":      within("<!-- "),
		"unclosed cdata":        within("<![CDATA["),
		"unclosed declaration":  "<?xml version='1.0'",
		"crossed":               within("<os><init></os></init>"),
		"comment with dashes":   within("<!-- a -- b -->"),
		"cdata end in text":     within("<title>]]></title>"),
		"less in attribute":     "<domain type='<'/>",
		"no quotes":             "<domain type=lxc/>",
		"no value":              "<domain type/>",
		"no space":              "<domain type='lxc'id='1'/>",
		"stray slash":           "<domain / >",
		"bad end tag":           "<domain></domain x>",
		"bad name":              "<1domain/>",
		"two colons":            "<a:b:c xmlns:a='u'/>",
		"colon first":           "<:domain/>",
		"lone ampersand":        within("<title>a & b</title>"),
		"reference to nul":      within("<title>&#0;</title>"),
		"reference to control":  within("<title>&#x1b;</title>"),
		"reference to ufffe":    within("<title>&#xfffe;</title>"),
		"reference too large":   within("<title>&#x110000;</title>"),
		"reference overflow":    within("<title>&#99999999999999999999;</title>"),
		"reference with sign":   within("<title>&#+65;</title>"),
		"nul":                   within("<title>a\x00b</title>"),
		"escape":                within("<title>a\x1bb</title>"),
		"not utf-8":             within("<title>\xff</title>"),
		"overlong":              within("<title>\xc0\xaf</title>"),
		"surrogate":             within("<title>\xed\xa0\x80</title>"),
		"utf-16":                "\xff\xfe<\x00d\x00",
		"latin 1":               "<?xml version='1.0' encoding='iso-8859-1'?>" + within(""),
		"version 1.1":           "<?xml version='1.1'?>" + within(""),
		"late declaration":      " <?xml version='1.0'?>" + within(""),
		"too deep":              strings.Repeat("<a>", domain.MaxDepth+1) + strings.Repeat("</a>", domain.MaxDepth+1),
		"endless depth":         strings.Repeat("<a>", 200000),
		"too many elements":     within(strings.Repeat("<a/>", domain.MaxElements)),
		"too many attributes":   "<domain" + attributes(domain.MaxAttributes+1) + "/>",
		"a lot of attributes":   "<domain" + attributes(100000) + "/>",
		"too long a name":       "<" + strings.Repeat("a", domain.MaxName+1) + "/>",
		"too large":             within("<title>" + strings.Repeat("a", domain.MaxDocument) + "</title>"),
		"too many namespaces":   strings.Repeat("<a"+namespaces(domain.MaxNamespaces-1)+">", 2) + "</a></a>",
		"attributes everywhere": within(strings.Repeat("<a"+attributes(domain.MaxAttributes)+"/>", 1000)),
	}
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " a%d=''", i)
	}
	return b.String()
}

func namespaces(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " xmlns:p%d='u'", i)
	}
	return b.String()
}

// TestHostileDocuments: each is refused with a place, in a bounded time and without more memory than its size allows.
func TestHostileDocuments(t *testing.T) {
	accepted := map[string]bool{"attributes everywhere": true} // unknown, but within the limits
	for name, doc := range hostileDocuments() {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var err error
			took := processor.Time(t, func() { _, _, err = domain.ParseXML([]byte(doc), domain.ParseOptions{}) })
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
				t.Errorf("%d bytes were allocated for a document of %d", grown, len(doc))
			}
			if took > 2*time.Second {
				t.Errorf("it took %v", took)
			}
			if accepted[name] {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			var e *domain.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a refusal", err)
			}
			if e.Code != codes.InvalidArgument || e.Reason != davitv1.ErrorReason_ERROR_REASON_DOCUMENT_MALFORMED {
				t.Errorf("got %v %v, want INVALID_ARGUMENT, DOCUMENT_MALFORMED: %v", e.Code, e.Reason, e)
			}
			if len(e.Violations) != 1 || e.Violations[0].Line < 1 || e.Violations[0].Column < 1 {
				t.Errorf("the error has no place: %v", e)
			}
			if len(e.Error()) > 512 {
				t.Errorf("the message repeats too much of the document: %d bytes", len(e.Error()))
			}
		})
	}
}

// TestMalformedPlace: the place is that of the fault, in characters.
func TestMalformedPlace(t *testing.T) {
	for _, c := range []struct{ doc, want string }{
		{"<domain>\n  <naäme>é</nome>\n</domain>", `read domain XML: 2:11: element "naäme" is ended by "</nome>"`},
		{"<domain>\n  <a b='1' c='&x;'/>\n</domain>", `read domain XML: 2:15: entity "x" is not known`},
		{"<domain a='1' b='2' a='3'/>", `read domain XML: 1:21: attribute "a" is given twice`},
		{"<domain>\r\n<!-- -- -->", `read domain XML: 2:6: a comment holds a "--"`},
		{"<domain/>\n\n  x", `read domain XML: 3:3: text after the root element`},
		{"", "read domain XML: 1:1: the document has no root element"},
	} {
		_, _, err := domain.ParseXML([]byte(c.doc), domain.ParseOptions{})
		if err == nil || err.Error() != c.want {
			t.Errorf("ParseXML(%q):\ngot  %v\nwant %s", c.doc, err, c.want)
		}
	}
}

// TestScanAgreesWithGo compares what is read of documents that try the corners of the syntax.
func TestScanAgreesWithGo(t *testing.T) {
	for _, doc := range []string{
		within(""),
		within("<title>a&#65;&#x42;&lt;&gt;&amp;&apos;&quot;</title>"),
		within("<title>one<!-- c -->two<![CDATA[<three>&]]></title>"),
		within("<title>a\r\nb\rc</title>"),
		within("<metadata xmlns='u' xmlns:p='v'><a p:b='c' d='e'><p:f xmlns:p='w' p:g='h'/><i xmlns=''/></a></metadata>"),
		within("<metadata xml:lang='de' xml:space='preserve'> </metadata>"),
		within("<élan ñ='1'/>"),
	} {
		agreeWithGo(t, doc)
		if _, err := domain.ScanEvents(doc); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
}
