package native

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/cgroup"
	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// logged is a definition whose console is written to a file.
func logged(file string, appends bool) *davitv1.Domain {
	return &davitv1.Domain{Name: "web", Devices: &davitv1.Devices{
		Console: []*davitv1.Console{{}, {LogFile: file, LogAppend: &appends}},
	}}
}

// A file that a console is written to is made, or emptied when the container is about to be made, or goes on.
func TestTerminalFiles(t *testing.T) {
	for _, test := range []struct {
		there, appends bool
		want           string
	}{{false, false, ""}, {false, true, ""}, {true, false, ""}, {true, true, "before"}} {
		file := filepath.Join(t.TempDir(), "web.console")
		if test.there {
			if err := os.WriteFile(file, []byte("before"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f, err := openTerminals(logged(file, test.appends))
		if err != nil {
			t.Fatal(err)
		}
		if len(f.folders) != 2 || f.folders[0].Folder != nil || f.folders[1].Folder == nil || f.folders[1].Name != "web.console" {
			t.Errorf("files %+v", f.folders)
		}
		if test.there {
			if text, readErr := os.ReadFile(file); readErr != nil || string(text) != "before" {
				t.Errorf("%+v: before it begins the file has %q, %v", test, text, readErr)
			}
		}
		if err = f.begin(); err != nil {
			t.Error(err)
		}
		f.close()
		text, err := os.ReadFile(file)
		info, statErr := os.Stat(file)
		if err != nil || statErr != nil || string(text) != test.want || info.Mode() != 0o600 {
			t.Errorf("%+v: the file has %q, %v", test, text, err)
		}
	}
}

// A start that fails leaves in the file what the last run said; one in which something stands by then keeps that. Two starts at a time
// do not have one file, nor have two consoles.
func TestTerminalFilesOfAStartThatFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.console")
	for _, test := range []struct{ before, said, want string }{
		{"last run\n", "", "last run\n"}, {"last run\n", "this run\n", "this run\n"}, {strings.Repeat("x", 3<<20), "", strings.Repeat("x", 3<<20)}, {"", "", ""},
	} {
		if err := os.WriteFile(file, []byte(test.before), 0o640); err != nil {
			t.Fatal(err)
		}
		f, err := openTerminals(logged(file, false))
		if err != nil {
			t.Fatal(err)
		}
		for _, appends := range []bool{false, true} {
			if _, err := openTerminals(logged(file, appends)); err == nil || !strings.Contains(err.Error(), `another start or program holds it`) {
				t.Errorf("a second start: %v", err)
			}
		}
		if err := f.begin(); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(file); err != nil || info.Size() != 0 {
			t.Errorf("when it begins the file has %d bytes, %v", info.Size(), err)
		}
		if _, err := f.anew[0].WriteString(test.said); err != nil {
			t.Error(err)
		}
		if err := f.restore(); err != nil {
			t.Error(err)
		}
		f.close()
		if text, err := os.ReadFile(file); err != nil || string(text) != test.want {
			t.Errorf("%.20q, %.20q: the file has %.20q, %v", test.before, test.said, text, err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the file: %v, %v", entries, err)
	}
	def := logged(file, true)
	def.Devices.Serial = []*davitv1.Serial{{LogFile: filepath.Dir(file) + "/./web.console"}}
	_, err = openTerminals(def)
	if err == nil || !strings.Contains(err.Error(), "is written to by console1; name another") || !strings.Contains(err.Error(), "/domain/devices/serial[1]/log/@file") {
		t.Errorf("a second console: %v", err)
	}
	if f, err := openTerminals(logged(file, true)); err != nil {
		t.Errorf("the file is still held: %v", err)
	} else {
		f.close()
	}
}

// A file that a domain which runs is written to is no other's, by whatever name; what has ended writes no more.
func TestTerminalFilesOfOthers(t *testing.T) {
	other := &instance{spec: driver.Spec{Definition: logged("/var/log/web.console", true)}}
	d := &Driver{lives: map[string]*instance{"a": other}}
	def := logged("/var/log//web.console", false)
	def.Name = "db"
	if err := d.checkTerminals(def); err == nil || !strings.Contains(err.Error(), `log file "/var/log//web.console" is written to by domain "web"; name another`) {
		t.Errorf("%v", err)
	}
	if err := d.checkTerminals(logged("/var/log/db.console", false)); err != nil {
		t.Errorf("another file: %v", err)
	}
	other.ended = true
	if err := d.checkTerminals(def); err != nil {
		t.Errorf("when it has ended: %v", err)
	}
}

// What is no file, or is behind a link, is refused with what to do, and nothing is made or emptied.
func TestTerminalFilesRefused(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(dir, "victim"), []byte("keep"), 0o600),
		os.Symlink(filepath.Join(dir, "victim"), filepath.Join(dir, "link")),
		os.Mkdir(filepath.Join(dir, "folder"), 0o700),
		os.Symlink(filepath.Join(dir, "folder"), filepath.Join(dir, "way")),
		unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"link":      "it is a symbolic link, which is not followed",
		"way/x":     "a folder of its path is a symbolic link, which is not followed; name the folder itself",
		"absent/x":  "its folder does not exist and is not made",
		"fifo":      "it is not a regular file",
		"folder":    "it is not a regular file",
		"victim/x":  "not a directory",
		"folder/ok": "",
	} {
		f, err := openTerminals(logged(filepath.Join(dir, name), false))
		if err == nil {
			err = f.begin()
			f.close()
		}
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/domain/devices/console[2]/log/@file") {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "victim")); err != nil || string(text) != "keep" {
		t.Errorf("behind the link: %q, %v", text, err)
	}
}

// A start that needs more descriptors than a monitor takes is refused with their number and the limit.
func TestDescriptors(t *testing.T) {
	d := &Driver{cgroups: &cgroup.Hierarchy{Trees: make([]*cgroup.Tree, 3)}}
	def := logged("/var/log/x", false)
	for i := range 59 {
		def.Devices.Disk = append(def.Devices.Disk, &davitv1.Disk{SourceFile: "/img", TargetDev: fmt.Sprintf("vd%d", i)})
	}
	if err := d.checkDescriptors("start domain", def); err != nil {
		t.Errorf("60 of 60: %v", err)
	}
	def.Devices.Disk = append(def.Devices.Disk, &davitv1.Disk{SourceFile: "/img", TargetDev: "vdz"})
	err := d.checkDescriptors("start domain", def)
	if want := "60 images and block devices, 0 namespaces of others and 1 files of consoles are 61 together, over the limit of 60 of one start"; err == nil ||
		!strings.Contains(err.Error(), want) {
		t.Errorf("61 of 60: %v, want %q", err, want)
	}
}
