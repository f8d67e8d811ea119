package house_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davitd/davit/internal/testenv"
)

const module = "github.com/davitd/davit/"

// rooms says what each room may import of ours, the longest prefix of a package's path first. A room may always import what
// is inside it. "cmd" may import all; internal holds test helpers and is imported by tests and commands of its own only.
var rooms = []struct {
	room string
	may  []string
}{
	{"proto/plain", nil},
	{"proto/davit/monitor/v1", []string{"proto/plain"}},
	{"proto/davit/v1", nil},
	{"domain", []string{"proto/davit/v1"}},
	{"convert", []string{"domain", "proto/davit/v1"}},
	{"cgroup", nil},
	{"fs", nil},
	{"devices", []string{"fs"}},
	{"driver/fake", []string{"driver", "domain", "proto/davit/v1"}},
	{"driver/drivertest", []string{"driver", "domain", "proto/davit/v1"}},
	{"driver/launch", []string{"proto/davit/monitor/v1", "proto/plain", "fs", "devices"}},
	{"driver/monitor", []string{"proto/davit/monitor/v1", "proto/plain", "driver/launch", "fs", "devices"}},
	{"driver/seccomp", []string{"domain", "proto/davit/v1"}},
	{"driver/native", []string{"driver", "driver/launch", "driver/monitor", "driver/seccomp", "domain", "proto", "cgroup", "fs", "devices"}},
	{"driver", []string{"domain", "proto/davit/v1"}},
	{"server/events", []string{"domain", "proto/davit/v1"}},
	{"server/store", []string{"domain", "proto/davit/v1"}},
	{"server/auth", []string{"domain", "proto/davit/v1"}},
	{"server/logs", []string{"domain", "server/events", "proto/davit/v1"}},
	{"server/host", []string{"domain", "proto/davit/v1"}},
	{"server/admin", []string{"domain", "server/auth", "proto/davit/v1"}},
	{"server/engine", []string{"driver", "domain", "server/events", "server/store", "proto/davit/v1"}},
	{"server/rpc", []string{"server/engine", "driver", "domain", "server/events", "server/auth", "server/logs", "server/host", "proto/davit/v1"}},
	{"server", []string{"server", "driver", "domain", "proto/davit/v1"}},
	{"client/cli", []string{"client", "convert", "domain", "proto/davit/v1"}},
	{"client", []string{"domain", "proto/davit/v1"}},
	{"cmd", []string{"server", "client", "driver", "domain", "proto"}},
	{"internal", []string{""}},
}

// drivers are implementations that only cmd may choose.
var drivers = []string{"driver/native", "driver/fake", "driver/launch", "driver/monitor", "driver/seccomp"}

type pkg struct {
	ImportPath string
	Doc        string
	Name       string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,Name,Imports", "./...")
	cmd.Dir = testenv.Module()
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func within(path, room string) bool {
	return room == "" || path == room || strings.HasPrefix(path, room+"/")
}

func TestArrowsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		room := roomOf(from)
		if room < 0 {
			t.Errorf("package %s is in no room", from)
			continue
		}
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module)
			if ours && !allowed(from, to, room) {
				t.Errorf("%s imports %s, which room %s may not", from, to, rooms[room].room)
			}
		}
	}
}

func roomOf(path string) int {
	for i, r := range rooms {
		if within(path, r.room) {
			return i
		}
	}
	return -1
}

func allowed(from, to string, room int) bool {
	r := rooms[room]
	if within(to, r.room) && roomOf(to) == room {
		return true
	}
	if strings.HasPrefix(from, "server") || strings.HasPrefix(from, "client") {
		for _, d := range drivers {
			if within(to, d) {
				return false
			}
		}
	}
	for _, may := range r.may {
		if may == "driver" && strings.HasPrefix(from, "driver/") && to != "driver" {
			continue
		}
		if within(to, may) {
			return true
		}
	}
	return false
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.ImportPath, module+"proto/") {
			continue
		}
		doc, want := p.Doc, "Package "+p.Name+" "
		if p.Name == "main" {
			want = strings.ToLower(path.Base(p.ImportPath)) + " "
			doc = strings.ToLower(strings.TrimPrefix(doc, "Command "))
		}
		if !strings.HasPrefix(doc, want) {
			t.Errorf("the comment of %s does not begin with %q: %q", p.ImportPath, want, p.Doc)
		}
	}
}

// TestFilesStaySmall holds every hand-written file to 700 lines and every unfinished corner to an issue.
func TestFilesStaySmall(t *testing.T) {
	const most = 700
	err := filepath.WalkDir(testenv.Module(), func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != "." && name != testenv.Module() {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, ".pb.go") || strings.HasSuffix(name, ".plain.go") {
			return nil
		}
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		lines := 0
		for s := bufio.NewScanner(file); s.Scan(); lines++ {
			if strings.Contains(s.Text(), "TO"+"DO") && !strings.Contains(s.Text(), "TO"+"DO(#") {
				t.Errorf("%s:%d: unfinished work without an issue", name, lines+1)
			}
		}
		if lines > most {
			t.Errorf("%s has %d lines, above %d: is it one noun?", name, lines, most)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
