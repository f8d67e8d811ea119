package explain_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/domain/explain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Where the schemas for editors are.
const (
	rngFile  = "docs/schemas/domain.rng"
	jsonFile = "docs/schemas/domain.schema.json"
)

// TestDocsSchemas holds the schemas for editors to the protos.
func TestDocsSchemas(t *testing.T) {
	ref := explain.NewReference(current(t))
	check(t, rngFile, ref.RelaxNG())
	schema, err := ref.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	check(t, jsonFile, schema)
}

// documents are the XML documents of the golden files of package domain, and libvirt's own where DAVIT_CORPUS is set.
func documents(t *testing.T) map[string]string {
	t.Helper()
	docs := golden(t, ".xml")
	dir := os.Getenv("DAVIT_CORPUS")
	if dir == "" {
		return docs
	}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) != ".xml" || err != nil {
			return err
		}
		doc, err := os.ReadFile(path)
		docs["corpus "+filepath.Base(path)] = string(doc)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// golden are the files of the golden archives whose names end so.
func golden(t *testing.T, suffix string) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	docs := map[string]string{}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if strings.HasSuffix(f.Name, suffix) {
				docs[strings.TrimSuffix(filepath.Base(file), "txtar")+f.Name] = string(f.Data)
			}
		}
	}
	return docs
}

// valid asks xmllint which documents keep to the grammar.
func valid(t *testing.T, docs map[string]string) map[string]bool {
	t.Helper()
	xmllint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("needs xmllint")
	}
	verdicts := map[string]bool{}
	dir := t.TempDir()
	names := slices.Sorted(maps.Keys(docs))
	args := []string{"--noout", "--relaxng", filepath.Join(root, rngFile)}
	for i, name := range names {
		path := filepath.Join(dir, fmt.Sprintf("%d.xml", i))
		if err = os.WriteFile(path, []byte(docs[name]), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	out, err := exec.CommandContext(t.Context(), xmllint, args...).CombinedOutput()
	for i, name := range names {
		path := filepath.Join(dir, fmt.Sprintf("%d.xml", i))
		yes, no := bytes.Contains(out, []byte(path+" validates\n")), bytes.Contains(out, []byte(path+" fails to validate\n"))
		if yes == no && !bytes.Contains(out, []byte(path+":")) {
			t.Fatalf("xmllint says nothing of %s (%v):\n%s", name, err, out)
		}
		verdicts[name] = yes
	}
	return verdicts
}

// understood tells whether davit takes a document without a word about something that it does not know; certain is false
// where that does not depend on one place alone, and the grammar may say either.
func understood(doc string) (ok, certain bool) {
	if _, _, err := domain.ParseXML([]byte(doc), domain.ParseOptions{Strict: true}); err != nil {
		return false, true
	}
	source := &davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: doc}}
	_, _, err := domain.Read(source, domain.ReadOptions{})
	return err == nil, err == nil
}

// TestRelaxNG holds the grammar to the code: what davit reads keeps to it, what davit does not know or cannot read does not.
func TestRelaxNG(t *testing.T) {
	docs := documents(t)
	read := 0
	for name, got := range valid(t, docs) {
		want, certain := understood(docs[name])
		if certain && got != want {
			t.Errorf("%s: the grammar says %v, davit %v", name, got, want)
		}
		if want {
			read++
		}
	}
	if read < 20 {
		t.Errorf("%d documents were read: the golden files are not looked at as they should be", read)
	}
}

// TestJing asks another validator for its opinion of the grammar.
func TestJing(t *testing.T) {
	jing, err := exec.LookPath("jing")
	if err != nil {
		t.Skip("needs jing")
	}
	args := []string{filepath.Join(root, rngFile)}
	dir := t.TempDir()
	for name, doc := range documents(t) {
		if ok, _ := understood(doc); !ok {
			continue
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	if out, err := exec.CommandContext(t.Context(), jing, args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// changes are changes of one place of the document that has everything, and whether it is valid then.
var changes = []struct {
	name, old, new string
	valid          bool
}{
	{"as it is", "", "", true},
	{"another order", "  <name>everything</name>\n", "", false},
	{"an element more", "<os>", "<os><colour/>", false},
	{"an element twice", "<os>", "<os><init>/bin/sh</init>", false},
	{"an attribute more", "<os>", "<os colour='red'>", false},
	{"text more", "<os>", "<os>loose", false},
	{"an unknown word", "accessmode='squash'", "accessmode='squeezed'", false},
	{"a word in capitals", "<on_poweroff>restart", "<on_poweroff>Restart", false},
	{"blanks around a word", "<on_poweroff>restart", "<on_poweroff> restart ", true},
	{"no name of a filesystem's target", "<target dir='/data'/>", "", false},
	{"an element of a libvirt driver", "<os>", "<os><loader readonly='yes' type='pflash'>/x<y/></loader>", true},
	{"the same where it does not belong", "<devices>", "<devices><loader/>", false},
	{"application's XML", "<app:owner", "<x xmlns='urn:x' y='z'><z/>text</x><app:owner", true},
	{"no number", "<shares>2048<", "<shares>many<", false},
	{"a number too small", "<shares>2048<", "<shares>1<", false},
	{"the smallest number", "<shares>2048<", "<shares>2<", true},
	{"no limit", "<quota>150000<", "<quota>-1<", true},
	{"a number between", "<quota>150000<", "<quota>999<", false},
	{"an unknown unit", "<memory unit='KiB'>", "<memory unit='furlong'>", false},
	{"another unit", "<memory unit='KiB'>", "<memory unit='gb'>", true},
	{"no size", "<hard_limit unit='KiB'>1048576<", "<hard_limit unit='KiB'>lots<", false},
	{"a size without limit", "<hard_limit unit='KiB'>1048576<", "<hard_limit unit='KiB'>unlimited<", true},
	{"on where yes is spelt", "relabel='yes'", "relabel='on'", false},
	{"yes where on is spelt", "<chown state='on'/>", "<chown state='yes'/>", false},
	{"davit's element of another namespace", "<davit:pids", "<lxc:pids", false},
	{"a flag that holds something", "<privnet/>", "<privnet>yes</privnet>", false},
	{"a comment", "<os>", "<os><!-- colour -->", true},
	{"no init", "<init>/sbin/init</init>", "", false},
	{"an init that is empty", "<init>/sbin/init</init>", "<init/>", false},
	{"another kind of domain", "<domain type='lxc'", "<domain type='kvm'", false},
}

// TestRelaxNGTellsFaults changes a document in one place each time.
func TestRelaxNGTellsFaults(t *testing.T) {
	all, ok := golden(t, ".xml")["everything.in.xml"]
	if !ok {
		t.Fatal("the document that has everything is not there")
	}
	docs := map[string]string{}
	for _, c := range changes {
		if !strings.Contains(all, c.old) {
			t.Errorf("%s: the document has no %q", c.name, c.old)
		}
		docs[c.name] = strings.Replace(all, c.old, c.new, 1)
	}
	verdicts := valid(t, docs)
	for _, c := range changes {
		if verdicts[c.name] != c.valid {
			t.Errorf("%s: the grammar says %v", c.name, verdicts[c.name])
		}
		if got, certain := understood(docs[c.name]); certain && got != c.valid {
			t.Errorf("%s: davit says %v", c.name, got)
		}
	}
}

// validJSON asks python's jsonschema which documents keep to the schema.
func validJSON(t *testing.T, docs map[string]string) map[string]bool {
	t.Helper()
	const absent = 77
	program := fmt.Sprintf(`
import json, sys
try:
    from jsonschema import Draft202012Validator as V
except ImportError:
    sys.exit(%d)
schema = json.load(open(sys.argv[1]))
V.check_schema(schema)
v = V(schema)
print(json.dumps({name: not list(v.iter_errors(json.loads(doc))) for name, doc in json.load(sys.stdin).items()}))
`, absent)
	in, err := json.Marshal(docs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", "-c", program, filepath.Join(root, jsonFile))
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case errors.Is(err, exec.ErrNotFound), ended && exit.ExitCode() == absent:
		t.Skip("needs python3 with jsonschema")
	case ended:
		t.Fatalf("%v: %s", err, exit.Stderr)
	case err != nil:
		t.Fatal(err)
	}
	verdicts := map[string]bool{}
	if err := json.Unmarshal(out, &verdicts); err != nil {
		t.Fatal(err)
	}
	return verdicts
}

// TestJSONSchema holds the JSON Schema to the code: whatever is stored keeps to it, what the codec refuses does not.
func TestJSONSchema(t *testing.T) {
	docs := golden(t, "out.json")
	stored := len(docs)
	for name, doc := range golden(t, "in.json") {
		if json.Valid([]byte(doc)) {
			docs[name] = strings.ReplaceAll(doc, `"clock": null,`, "") // see Reference.JSONSchema
		}
	}
	for name, got := range validJSON(t, docs) {
		_, err := domain.ParseJSON([]byte(docs[name]))
		if got != (err == nil) {
			t.Errorf("%s: the schema says %v, davit %v", name, got, err)
		}
	}
	if stored < 10 {
		t.Errorf("%d stored documents were looked at", stored)
	}
}

// TestJSONSchemaTellsFaults changes a document in one place each time.
func TestJSONSchemaTellsFaults(t *testing.T) {
	all := golden(t, "out.json")["everything.out.json"]
	changes := []struct {
		old, new string
		valid    bool
	}{
		{"", "", true},
		{`"type": "lxc"`, `"colour": "red", "type": "lxc"`, false},
		{`"type": "lxc"`, `"type": "kvm"`, false},
		{`"type": "lxc",`, ``, false},
		{`"name": "everything"`, `"name": ""`, false},
		{`"name": "everything"`, `"name": null`, false},
		{`"accessmode": "squash"`, `"accessmode": "squeezed"`, false},
		{`"shares": 2048`, `"shares": 1`, false},
		{`"shares": 2048`, `"shares": 2`, true},
		{`"shares": 2048`, `"shares": "2048"`, false},
		{`"quota": 150000`, `"quota": -1`, true},
		{`"quota": 150000`, `"quota": 999`, false},
		{`"memory_kib": 1048576`, `"memory_kib": 0`, false},
		{`"memory_kib": 1048576`, `"memory_kib": 1.5`, false},
		{`"privnet": true`, `"privnet": "yes"`, false},
		{`"pids_limit": 512`, `"pids_limit": 512, "other": ["<cpu mode='custom'/>"]`, true},
		{`"pids_limit": 512`, `"pids_limit": 512, "other": [1]`, false},
		{`"initarg": [`, `"initarg": "x", "cmdline": [`, false},
	}
	docs := map[string]string{}
	for i, c := range changes {
		if !strings.Contains(all, c.old) {
			t.Errorf("the document has no %q", c.old)
		}
		docs[strconv.Itoa(i)] = strings.Replace(all, c.old, c.new, 1)
	}
	verdicts := validJSON(t, docs)
	for i, c := range changes {
		if got := verdicts[strconv.Itoa(i)]; got != c.valid {
			t.Errorf("%s in place of %s: the schema says %v", c.new, c.old, got)
		}
	}
}
