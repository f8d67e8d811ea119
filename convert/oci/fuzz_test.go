package oci_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/convert/oci"
	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/processor"
	"github.com/davitd/davit/internal/testenv"
)

func bundles(tb testing.TB) []string {
	tb.Helper()
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		tb.Fatal(err)
	}
	var all []string
	for _, name := range names {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		if text := file(archive, "config.json"); text != "" {
			all = append(all, text)
		} else if result := file(archive, "result"); strings.Contains(result, "{") {
			all = append(all, result[strings.Index(result, "{"):])
		}
	}
	return all
}

// FuzzRead: whatever is read is a normalised and valid definition, that can be written as a bundle and read again as it is.
func FuzzRead(f *testing.F) {
	for _, text := range bundles(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		def, warnings, err := oci.Read("/srv/web/config.json", []byte(text), oci.Options{})
		for _, w := range warnings {
			if w.Message == "" || w.Name == "" && !strings.HasPrefix(w.Message, "and ") && w.Line == 0 {
				t.Errorf("a warning says nothing: %q", w)
			}
		}
		if err != nil {
			if err.Error() == "" {
				t.Error("an error says nothing")
			}
			return
		}
		if err = domain.Validate(def); err != nil {
			t.Fatalf("what was read is not valid: %v", err)
		}
		normal := proto.CloneOf(def)
		if domain.Normalize(normal); !proto.Equal(def, normal) {
			t.Error("what was read is not in canonical form")
		}
		once, _, err := oci.Write(def, oci.Options{Device: numbered})
		if err != nil {
			return // it has no root of its own
		}
		back, _, err := oci.Read("/srv/web/config.json", once, oci.Options{})
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, once)
		}
		again, _, err := oci.Write(back, oci.Options{Device: numbered})
		if err != nil || string(again) != string(once) {
			t.Errorf("what was written changes when it is read again: %v\n%s\n%s", err, once, again)
		}
	})
}

// TestBounds reads 1 MiB of what costs most.
func TestBounds(t *testing.T) {
	const usual = `{"ociVersion": "1.2.0", "process": {"args": ["/init"], "cwd": "/"}, "root": {"path": "rootfs"}, `
	long := strings.Repeat("n", 100<<10)
	for name, c := range map[string]struct{ begin, each, end string }{
		"numbers":       {`[`, `0,`, `0]`},
		"lists":         {`{"x": [`, `[],`, `[]]}`},
		"names":         {`{`, `"%d":0,`, `"":0}`},
		"deep":          {``, `[`, ``},
		"mounts":        {usual + `"mounts": [`, `{"destination":"/%d","type":"bind","source":"/a"},`, `{"destination":"/x"}]}`},
		"environment":   {`{"ociVersion": "1.2.0", "process": {"cwd": "/", "args": ["/i"], "env": [`, `"A%d=b",`, `"B=c"]}}`},
		"faults":        {usual + `"mounts": [`, `%d,`, `0]}`},
		"annotations":   {usual + `"annotations": {`, `"k%d":"v",`, `"":""}}`},
		"net devices":   {usual + `"linux": {"netDevices": {`, `"e%d":{},`, `"e":{}}}}`},
		"blkio":         {usual + `"linux": {"resources": {"blockIO": {"weightDevice": [`, `{"major":8,"minor":%d,"weight":100},`, `{}]}}}}`},
		"maps":          {usual + `"linux": {"uidMappings": [`, `{"containerID":%d,"hostID":5,"size":1},`, `{}]}}`},
		"unknown":       {usual + `"linux": {`, `"u%d":0,`, `"u":0}}`},
		"long unknown":  {usual + `"linux": {"timeOffsets": {"` + long + `": {`, `"u%d":0,`, `"u":0}}}}`},
		"rules":         {usual + `"linux": {"resources": {"devices": [`, `{"allow":true,"major":%d},`, `{}]}}}`},
		"syscalls":      {usual + `"linux": {"seccomp": {"syscalls": [`, `{"names":["a%d"],"action":"x"},`, `{}]}}}`},
		"a long string": {usual + `"hostname": "`, `aaaaaaaaaaaaaaaa`, `"}`},
		"escapes":       {usual + `"hostname": "`, `\u0041\n`, `"}`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, values := range []int{9000, 1 << 20} { // within the bounds, and beyond
				var b strings.Builder
				b.WriteString(c.begin)
				for i := 0; b.Len() < 1<<20-1024 && i < values; i++ {
					b.WriteString(strings.ReplaceAll(c.each, "%d", fmt.Sprint(i)))
				}
				b.WriteString(c.end)
				b.WriteString(strings.Repeat("\n", max(1<<20-b.Len(), 0)))
				text := []byte(b.String())
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				var err error
				took := processor.Time(t, func() { _, _, err = oci.Read("/srv/web/config.json", text, oci.Options{}) })
				runtime.ReadMemStats(&after)
				grown := after.TotalAlloc - before.TotalAlloc
				t.Logf("%d bytes: %s, %d KiB, failed: %v", len(text), took, grown>>10, err != nil)
				if grown > 64<<20 {
					t.Errorf("%d MiB were taken", grown>>20)
				}
				if took > testenv.Scale(10*time.Second) {
					t.Errorf("reading took %s", took)
				}
			}
		})
	}
}

// TestFieldsAreOCIs holds the table of fields to the types of OCI, and those to the table: there is no field that it does not
// speak of, by itself or by one above or below.
func TestFieldsAreOCIs(t *testing.T) {
	all := map[string]bool{}
	var visit func(rt reflect.Type, at string)
	visit = func(rt reflect.Type, at string) {
		switch rt.Kind() {
		case reflect.Pointer:
			visit(rt.Elem(), at)
		case reflect.Slice:
			all[at+"[*]"] = true
			visit(rt.Elem(), at+"[*]")
		case reflect.Struct:
			for _, f := range reflect.VisibleFields(rt) {
				if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
					path := strings.TrimPrefix(at+"."+name, ".")
					all[path] = true
					visit(f.Type, path)
				}
			}
		default: // a value
		}
	}
	visit(reflect.TypeFor[specs.Spec](), "")
	var known []string
	for _, f := range oci.Fields() {
		if !all[f.Path] {
			t.Errorf("OCI has no field %s", f.Path)
		}
		known = append(known, f.Path)
	}
	for path := range all {
		spoken := false
		for _, k := range known {
			spoken = spoken || strings.HasPrefix(path+".", k+".") || strings.HasPrefix(path, k+"[") || strings.HasPrefix(k, path)
		}
		if !spoken {
			t.Errorf("the table does not speak of %s", path)
		}
	}
}
