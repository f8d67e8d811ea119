package oci_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/davitd/davit/convert/oci"
)

// TestNothingIsSilent puts a field that OCI does not have into each object of a whole bundle: it is told of, or all of the object is.
func TestNothingIsSilent(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/read-everything.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(file(archive, "config.json")), &doc); err != nil {
		t.Fatal(err)
	}
	count := 0
	for path, object := range objects(doc, "") {
		if strings.Contains(path, `["`) || path == "annotations" || path == "linux.sysctl" || path == "linux.resources.unified" {
			continue // an object whose names are its own
		}
		if path == "linux.netDevices" || path == "linux.timeOffsets" || path == "linux.resources.rdma" {
			continue
		}
		count++
		object["x-odd"] = map[string]any{"deep": 1}
		text, err := json.Marshal(doc)
		delete(object, "x-odd")
		if err != nil {
			t.Fatal(err)
		}
		_, warnings, err := oci.Read("/srv/web/config.json", text, oci.Options{})
		if err != nil {
			t.Fatal(err)
		}
		told := false
		for _, w := range warnings {
			told = told || strings.HasSuffix(w.Name, "x-odd") || w.Name != "" && strings.HasPrefix(path+".", w.Name+".") || strings.HasPrefix(path, w.Name+"[")
		}
		if !told {
			t.Errorf("a field in %q is lost in silence", path)
		}
	}
	if count < 40 {
		t.Errorf("%d objects were tried", count)
	}
}

// objects are all objects of a document by their paths.
func objects(value any, path string) map[string]map[string]any {
	all := map[string]map[string]any{}
	add := func(more map[string]map[string]any) { maps.Copy(all, more) }
	switch v := value.(type) {
	case map[string]any:
		all[path] = v
		for name, member := range v {
			add(objects(member, strings.TrimPrefix(path+"."+name, ".")))
		}
	case []any:
		for i, item := range v {
			add(objects(item, fmt.Sprintf("%s[%d]", path, i)))
		}
	}
	return all
}
