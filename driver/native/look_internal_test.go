package native

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A source that holds no filesystem is told by its name, with what could have been in it.
func TestProbeNamesTheSource(t *testing.T) {
	for _, c := range []struct {
		n    need
		want string
	}{
		{need{kind: imageSource, path: "/a b.img"}, `image "/a b.img" holds no filesystem that is known: ext2, ext3,`},
		{need{kind: blockSource, path: "/dev/sdz"}, `block device "/dev/sdz" holds no filesystem that is known: ext2, ext3,`},
	} {
		if found, err := c.n.probe(bytes.NewReader(make([]byte, 1<<17))); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q, %v; want %q", found, err, c.want)
		}
	}
	name := filepath.Join(t.TempDir(), "a.img")
	if err := os.WriteFile(name, make([]byte, 1<<17), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &Driver{}
	if s := d.lookAt(need{kind: imageSource, mounted: true, path: name}); !strings.HasPrefix(s.Missing, `image "`+name+`" holds no`) {
		t.Errorf("%+v", s)
	}
}
