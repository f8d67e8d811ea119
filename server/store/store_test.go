package store_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/store"
)

// place is a state folder of a test.
type place struct{ lib, run string }

func newPlace(tb testing.TB) place {
	tb.Helper()
	top := tb.TempDir()
	return place{filepath.Join(top, "lib"), filepath.Join(top, "run")}
}

func (p place) open(tb testing.TB) *store.Store {
	tb.Helper()
	s, err := store.Open(store.Options{LibDir: p.lib, RunDir: p.run})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func (p place) definition(n int) string { return filepath.Join(p.lib, "domains", uuidOf(n)+".xml") }

func uuidOf(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// definition makes the n-th definition, with a memory of so many KiB.
func definition(tb testing.TB, n, kib int) *davitv1.Domain {
	tb.Helper()
	doc := fmt.Sprintf(`<domain type='lxc'>
  <name>domain-%d</name>
  <uuid>%s</uuid>
  <memory unit='KiB'>%d</memory>
  <os><type>exe</type><init>/sbin/init</init></os>
  <devices><console type='pty'/></devices>
</domain>`, n, uuidOf(n), kib)
	def, _, err := domain.ParseXML([]byte(doc), domain.ParseOptions{Strict: true})
	if err != nil {
		tb.Fatal(err)
	}
	domain.Normalize(def)
	return def
}

func load(tb testing.TB, s *store.Store) (defs []store.Definition, quarantined []string) {
	tb.Helper()
	defs, quarantined, err := s.Load()
	if err != nil {
		tb.Fatal(err)
	}
	return defs, quarantined
}

func same(tb testing.TB, want, got any) {
	tb.Helper()
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		tb.Errorf("-want +got:\n%s", diff)
	}
}

func TestDefinitionsComeBack(t *testing.T) {
	p := newPlace(t)
	s := p.open(t)
	var want []store.Definition
	for n := range 20 {
		def := definition(t, n, 1024+n)
		if err := s.Put(def); err != nil {
			t.Fatal(err)
		}
		if n%2 == 0 {
			if err := s.SetAutostart(uuidOf(n), true); err != nil {
				t.Fatal(err)
			}
		}
		want = append(want, store.Definition{Def: def, Autostart: n%2 == 0})
	}
	for range 2 {
		defs, quarantined := load(t, s)
		same(t, want, defs)
		if len(quarantined) > 0 {
			t.Errorf("quarantined: %v", quarantined)
		}
		got, err := s.Get(uuidOf(3))
		if err != nil {
			t.Fatal(err)
		}
		same(t, want[3].Def, got)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = p.open(t)
	}
}

func TestChangeAndRemove(t *testing.T) {
	p := newPlace(t)
	s := p.open(t)
	for n := range 3 {
		if err := s.Put(definition(t, n, 1000)); err != nil {
			t.Fatal(err)
		}
		if err := s.SetAutostart(uuidOf(n), true); err != nil {
			t.Fatal(err)
		}
	}
	changed := definition(t, 1, 2000)
	if err := errors.Join(s.Put(changed), s.SetAutostart(uuidOf(1), false), s.SetAutostart(uuidOf(1), false)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Delete(uuidOf(0)), s.Delete(uuidOf(0))); err != nil {
		t.Fatal(err)
	}
	defs, _ := load(t, s)
	same(t, []store.Definition{{Def: changed}, {Def: definition(t, 2, 1000), Autostart: true}}, defs)
	if _, err := s.Get(uuidOf(0)); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("get of a removed definition: %v", err)
	}
	if err := s.SetAutostart(uuidOf(0), true); !errors.Is(err, domain.ErrNotFound) {
		t.Errorf("autostart of a removed definition: %v", err)
	}
	if links, _ := os.ReadDir(filepath.Join(p.lib, "autostart")); len(links) != 1 {
		t.Errorf("links are %v", links)
	}
}

func TestFilesArePrivateAndReadable(t *testing.T) {
	p := newPlace(t)
	s := p.open(t)
	if err := errors.Join(s.Put(definition(t, 1, 1000)), s.SetAutostart(uuidOf(1), true), s.PutStatus(status(t, 1))); err != nil {
		t.Fatal(err)
	}
	for _, top := range []string{p.lib, p.run} {
		err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			want := fs.FileMode(0o600)
			switch {
			case path == p.run:
				want = 0o711
			case e.IsDir():
				want = 0o700
			case e.Type() == fs.ModeSymlink:
				return nil
			}
			if info.Mode().Perm() != want {
				t.Errorf("%s has mode %#o, want %#o", path, info.Mode().Perm(), want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(p.lib, "autostart", uuidOf(1)+".xml")) // through the link
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<!--\nThis file is written by davitd", "\n<domain type='lxc'>", "<name>domain-1</name>"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("definition lacks %q:\n%s", want, text)
		}
	}
}

func TestRefusesWhatIsNoUUID(t *testing.T) {
	s := newPlace(t).open(t)
	for _, uuid := range []string{"", "x", "../../etc/passwd", uuidOf(1) + "/.."} {
		def := definition(t, 1, 1000)
		def.Uuid = uuid
		_, get := s.Get(uuid)
		for name, err := range map[string]error{
			"put": s.Put(def), "delete": s.Delete(uuid), "autostart": s.SetAutostart(uuid, true),
			"get": get, "put status": s.PutStatus(store.Status{UUID: uuid}), "delete status": s.DeleteStatus(uuid),
		} {
			if err == nil {
				t.Errorf("%s takes uuid %q", name, uuid)
			}
		}
	}
}

func TestInstanceIsMadeOnce(t *testing.T) {
	p, other := newPlace(t), newPlace(t)
	s := p.open(t)
	id := s.Instance()
	if len(id) != 8 || strings.Trim(id, "0123456789abcdef") != "" {
		t.Fatalf("instance is %q", id)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if again := p.open(t).Instance(); again != id {
		t.Errorf("instance is %q, was %q", again, id)
	}
	if beside := other.open(t).Instance(); beside == id {
		t.Errorf("two instances have id %q", id)
	}
}

func TestDamagedInstanceIsRefused(t *testing.T) {
	for _, text := range []string{"", "12345678 ", "1234567", "ABCDEF01", "zzzzzzzz\n"} {
		p := newPlace(t)
		_ = p.open(t).Close()
		path := filepath.Join(p.lib, "instance")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := store.Open(store.Options{LibDir: p.lib, RunDir: p.run})
		if err == nil || !strings.Contains(err.Error(), "instance") {
			t.Errorf("instance %q: error is %v", text, err)
		}
	}
}

func TestFoldersOfOthersAreRefused(t *testing.T) {
	for _, which := range []func(place) string{
		func(p place) string { return p.lib }, func(p place) string { return p.run },
	} {
		p := newPlace(t)
		_ = p.open(t).Close()
		if err := os.Chmod(which(p), 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(store.Options{LibDir: p.lib, RunDir: p.run}); err == nil || !strings.Contains(err.Error(), "others may write") {
			t.Errorf("error is %v", err)
		}
	}
}

func TestAutostartedIsOnceABoot(t *testing.T) {
	p := newPlace(t)
	check := func(s *store.Store, want bool) {
		t.Helper()
		if got, err := s.Autostarted(); err != nil || got != want {
			t.Errorf("autostarted is %v, %v, want %v", got, err, want)
		}
	}
	s := p.open(t)
	check(s, false)
	if err := s.SetAutostarted(); err != nil {
		t.Fatal(err)
	}
	check(s, true)
	_ = s.Close()
	s = p.open(t)
	check(s, true)
	// After a reboot of the host the id is another.
	if err := os.WriteFile(filepath.Join(p.run, "autostarted"), []byte("another boot\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(s, false)
}

// The test binary is also the other daemon.
const holdPlace = "DAVIT_STORE_TEST_HOLD"

func TestMain(m *testing.M) {
	if top := os.Getenv(holdPlace); top != "" {
		_, err := store.Open(store.Options{LibDir: filepath.Join(top, "lib"), RunDir: filepath.Join(top, "run")})
		fmt.Println(err)
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A second daemon is told who has the state, wherever the two places of it meet; a killed one leaves no lock.
func TestSecondDaemonIsRefused(t *testing.T) {
	p := newPlace(t)
	other := exec.CommandContext(t.Context(), os.Args[0])
	other.Env = append(os.Environ(), holdPlace+"="+filepath.Dir(p.lib))
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	stdout, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 100)
	n, _ := stdout.Read(line)
	if string(line[:n]) != "<nil>\n" {
		t.Fatalf("the other daemon: %s", line[:n])
	}
	for _, o := range []store.Options{
		{LibDir: p.lib, RunDir: p.run},
		{LibDir: p.lib, RunDir: p.run + "-2"},
		{LibDir: p.lib + "-2", RunDir: p.run},
	} {
		_, err := store.Open(o)
		var e *domain.Error
		if !errors.As(err, &e) || e.Reason != davitv1.ErrorReason_ERROR_REASON_RESOURCE_BUSY ||
			e.Detail["owner"] != strconv.Itoa(other.Process.Pid) ||
			!strings.Contains(err.Error(), "pid "+strconv.Itoa(other.Process.Pid)) {
			t.Errorf("error is %v, want one that names pid %d", err, other.Process.Pid)
		}
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait()
	p.open(t)
}
