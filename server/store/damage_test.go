package store_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/store"
)

func TestDamagedFilesAreQuarantined(t *testing.T) {
	p := newPlace(t)
	s := p.open(t)
	for n := range 6 {
		if err := s.Put(definition(t, n, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile(p.definition(0))
	if err != nil {
		t.Fatal(err)
	}
	for n, text := range map[int]string{
		1: "",
		2: string(good[:len(good)/2]),
		3: strings.ReplaceAll(string(good), uuidOf(0), uuidOf(77)), // not the one that its name says
		4: strings.ReplaceAll(string(good), uuidOf(0), uuidOf(4)),  // another's name
	} {
		if err := os.WriteFile(p.definition(n), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(p.lib, "domains", "README"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	defs, quarantined := load(t, s)
	same(t, []store.Definition{{Def: definition(t, 0, 1000)}, {Def: definition(t, 5, 1000)}}, defs)
	if len(quarantined) != 4 {
		t.Fatalf("quarantined: %v", quarantined)
	}
	for i, text := range quarantined {
		aside := p.definition(i+1) + ".damaged"
		if !strings.HasPrefix(text, aside+": ") {
			t.Errorf("%q does not name %s", text, aside)
		}
		if _, err := os.Stat(aside); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(quarantined[3], `name "domain-0" is that of domain `+uuidOf(0)) {
		t.Errorf("reason is %q", quarantined[3])
	}
	// The next load is clean; a second damaged file of a domain does not replace the first.
	if _, quarantined = load(t, s); len(quarantined) > 0 {
		t.Errorf("quarantined again: %v", quarantined)
	}
	if err := os.WriteFile(p.definition(1), []byte("<"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, quarantined = load(t, s); len(quarantined) != 1 || !strings.Contains(quarantined[0], ".damaged.2: ") {
		t.Errorf("quarantined: %v", quarantined)
	}
}

// Whatever a definition's or a record's file becomes, loading goes on, and the others are loaded.
func TestRandomDamage(t *testing.T) {
	p := newPlace(t)
	s := p.open(t)
	for n := range 2 {
		if err := errors.Join(s.Put(definition(t, n, 1000)), s.PutStatus(status(t, n))); err != nil {
			t.Fatal(err)
		}
	}
	paths := []string{p.definition(1), filepath.Join(p.run, "status", uuidOf(1)+".json")}
	var whole [2][]byte
	for i, path := range paths {
		var err error
		if whole[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		for i, path := range paths {
			if err := os.WriteFile(path, mutate(random, whole[i]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		defs, quarantined := load(t, s)
		if len(defs)+len(quarantined) != 2 || !proto.Equal(defs[0].Def, definition(t, 0, 1000)) {
			t.Fatalf("loaded %v, quarantined %v", defs, quarantined)
		}
		all, err := s.Statuses()
		if err != nil || len(all) == 0 || all[0].UUID != uuidOf(0) {
			t.Fatalf("statuses are %v, %v", all, err)
		}
		for _, dir := range []string{filepath.Join(p.lib, "domains"), filepath.Join(p.run, "status")} {
			aside, err := filepath.Glob(filepath.Join(dir, "*.damaged*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range aside {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// mutate changes some bytes, or cuts, repeats or removes a part.
func mutate(random *rand.Rand, whole []byte) []byte {
	b := bytes.Clone(whole)
	from := random.IntN(len(b))
	to := from + random.IntN(len(b)-from)
	switch random.IntN(5) {
	case 0:
		return b[:from]
	case 1:
		return append(b[:to:to], b[from:]...)
	case 2:
		return append(b[:from:from], b[to:]...)
	case 3:
		for i := from; i < to; i++ {
			b[i] = 0
		}
		return b
	}
	for range 1 + random.IntN(8) {
		b[random.IntN(len(b))] ^= 1 << random.IntN(8)
	}
	return b
}

// A disk that is full, broken or read-only, or a daemon that has no descriptors left, at any step of a write: the old definition or record is whole, nothing half is left,
// the error says what it is, and the next try works.
func TestFullDiskAtEachStep(t *testing.T) {
	for _, step := range []string{"create", "write", "sync", "rename", "sync folder", "link"} {
		for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EMFILE} {
			t.Run(step+"/"+errno.Error(), func(t *testing.T) {
				p := newPlace(t)
				s := p.open(t)
				was, will := definition(t, 1, 1000), definition(t, 1, 2000)
				if err := errors.Join(s.Put(was), s.PutStatus(status(t, 1))); err != nil {
					t.Fatal(err)
				}
				full := func(at string) error {
					if at == step {
						return errno
					}
					return nil
				}
				s.Fail(full)
				put, auto, stat := s.Put(will), s.SetAutostart(uuidOf(1), true), s.PutStatus(changed(t, 1))
				fresh := s.Put(definition(t, 2, 1000))
				s.Fail(nil)
				hit := step != "link" // steps of Put and PutStatus
				checkFailure(t, "put", put, hit, errno)
				checkFailure(t, "put of a new one", fresh, hit, errno)
				checkFailure(t, "status", stat, hit && step != "sync" && step != "sync folder", errno)
				checkFailure(t, "autostart", auto, step == "link" || step == "sync folder", errno)

				defs, quarantined := load(t, s)
				if len(quarantined) > 0 {
					t.Errorf("quarantined: %v", quarantined)
				}
				inPlace := step == "sync folder" || step == "link"
				want := was
				if inPlace {
					want = will // its name is not known to be on disk
				}
				if !proto.Equal(defs[0].Def, want) || (len(defs) == 2) != inPlace {
					t.Errorf("definitions are %v", defs)
				}
				if err := errors.Join(s.Put(will), s.PutStatus(changed(t, 1)), s.SetAutostart(uuidOf(1), true)); err != nil {
					t.Error(err)
				}
				noLeftovers(t, p)
			})
		}
	}
}

func checkFailure(t *testing.T, what string, err error, fails bool, errno syscall.Errno) {
	t.Helper()
	if !fails {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	want := davitv1.ErrorReason_ERROR_REASON_INTERNAL
	if errno == syscall.ENOSPC || errno == syscall.EMFILE {
		want = davitv1.ErrorReason_ERROR_REASON_RESOURCES_EXHAUSTED
	}
	var e *domain.Error
	if !errors.As(err, &e) || e.Reason != want || !errors.Is(err, errno) {
		t.Errorf("%s: error is %v, want reason %v", what, err, want)
	}
}

func noLeftovers(t *testing.T, p place) {
	t.Helper()
	for _, dir := range []string{filepath.Join(p.lib, "domains"), filepath.Join(p.lib, "autostart"), filepath.Join(p.run, "status")} {
		if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	}
}

// A daemon that is killed at any step leaves the old definition or the new one.
func TestKilledAtEachStep(t *testing.T) {
	for _, step := range []string{"create", "write", "sync", "rename", "sync folder"} {
		p := newPlace(t)
		s := p.open(t)
		was, will := definition(t, 1, 1000), definition(t, 1, 2000)
		if err := s.Put(was); err != nil {
			t.Fatal(err)
		}
		left := newPlace(t)
		s.Fail(func(at string) error {
			if at == step {
				if err := os.CopyFS(left.lib, os.DirFS(p.lib)); err != nil {
					t.Error(err)
				}
			}
			return nil
		})
		if err := s.Put(will); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(left.lib, 0o700); err != nil {
			t.Fatal(err)
		}
		want := was
		if step == "sync folder" {
			want = will
		}
		defs, quarantined := load(t, left.open(t))
		if len(defs) != 1 || !proto.Equal(defs[0].Def, want) || len(quarantined) > 0 {
			t.Errorf("killed at %s: definitions are %v, quarantined %v", step, defs, quarantined)
		}
		noLeftovers(t, left)
	}
}
