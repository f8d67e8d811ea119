package host_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
	"github.com/davitd/davit/server/host"
)

var update = flag.Bool("update", false, "write what the fixtures give into their files")

// fixture makes the files of an archive and gives the host that they are. The archive begins with the architecture and the
// size of its pages.
func fixture(t *testing.T, name string) (*host.Host, *txtar.Archive, string) {
	t.Helper()
	ar, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	arch, rest, _ := strings.Cut(string(ar.Comment), " ")
	size, _, _ := strings.Cut(rest, ":")
	pageKib, err := strconv.ParseUint(size, 10, 64)
	if err != nil {
		t.Fatalf("%s: the archive says not which host it is: %v", name, err)
	}
	root := t.TempDir()
	for _, f := range ar.Files {
		if strings.HasPrefix(f.Name, "want/") {
			continue
		}
		path := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasSuffix(f.Name, "_serial") || strings.HasSuffix(f.Name, "_uuid") {
			mode = 0o400 // as the kernel has it
		}
		if err := os.WriteFile(path, f.Data, mode); err != nil {
			t.Fatal(err)
		}
	}
	return host.Of(root, arch, pageKib), ar, root
}

// What hosts of several kinds are told to be stands in their archives.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			h, ar, _ := fixture(t, name)
			for _, want := range []struct {
				name string
				give func() (string, error)
			}{
				{"want/host.json", func() (string, error) { return describe(h) }},
				{"want/stats.json", func() (string, error) { return stats(h) }},
				{"want/capabilities.xml", h.Capabilities},
				{"want/sysinfo.xml", func() (string, error) { return sysinfo(h, true) }},
				{"want/sysinfo-for-all.xml", func() (string, error) { return sysinfo(h, false) }},
			} {
				got, err := want.give()
				if err != nil {
					t.Fatalf("%s: %v", want.name, err)
				}
				expect(t, ar, want.name, got)
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// expect compares with a file of the archive, or puts it there.
func expect(t *testing.T, ar *txtar.Archive, name, got string) {
	t.Helper()
	got = strings.TrimRight(got, "\n") + "\n"
	for i := range ar.Files {
		if ar.Files[i].Name != name {
			continue
		}
		if *update {
			ar.Files[i].Data = []byte(got)
		} else if diff := cmp.Diff(string(ar.Files[i].Data), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		return
	}
	if !*update {
		t.Errorf("%s is not in the archive", name)
		return
	}
	ar.Files = append(ar.Files, txtar.File{Name: name, Data: []byte(got)})
}

func describe(h *host.Host) (string, error) {
	d, err := h.Describe()
	if err != nil {
		return "", err
	}
	d.Hostname, d.Arch = "", "" // of the host of the test
	return text(d), nil
}

func stats(h *host.Host) (string, error) {
	s, err := h.Stats()
	if err != nil {
		return "", err
	}
	s.Time = nil
	return text(s), nil
}

// sysinfo is the document, or the error of a host without one.
func sysinfo(h *host.Host, private bool) (string, error) {
	doc, err := h.Sysinfo(private)
	if errors.Is(err, domain.ErrUnsupported) {
		return err.Error(), nil
	}
	return doc, err
}

// text is a message, less the spaces that protojson puts where it likes.
func text(m proto.Message) string {
	out, _ := protojson.MarshalOptions{Multiline: true, UseProtoNames: true}.Marshal(m)
	return strings.ReplaceAll(string(out), "\":  ", "\": ")
}

func TestUpdate(t *testing.T) {
	h, _, root := fixture(t, "two-sockets")
	answer, err := h.Update(&davitv1.UpdateHostRequest{
		Merging: &davitv1.MemoryMerging{PagesToScan: new(uint32(7)), MergeAcrossNodes: new(bool), FullScans: 3},
		Pages: []*davitv1.PageAllocation{
			{Cell: new(uint32(1)), PageKib: 1048576, Count: 2, Add: true},
			{PageKib: 2048, Count: 100},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Cell 1 grows by two large pages and by a hundred small ones; cell 0 shrinks.
	if answer.GetAllocated() != 102 {
		t.Errorf("%d pages were allocated", answer.GetAllocated())
	}
	for file, want := range map[string]string{
		"sys/kernel/mm/ksm/pages_to_scan":                                            "7",
		"sys/kernel/mm/ksm/sleep_millisecs":                                          "20",
		"sys/kernel/mm/ksm/merge_across_nodes":                                       "0",
		"sys/kernel/mm/ksm/full_scans":                                               "6",
		"sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages":      "100",
		"sys/devices/system/node/node0/hugepages/hugepages-1048576kB/nr_hugepages":   "0",
		"sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages":      "100",
		"sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages":   "3",
		"sys/devices/system/node/node1/hugepages/hugepages-1048576kB/free_hugepages": "0",
	} {
		got, err := os.ReadFile(filepath.Join(root, file))
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s is %q, want %s, %v", file, got, want, err)
		}
	}
}

// A request that names what there is not changes nothing, also not what comes before it.
func TestUpdateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		fixture string
		q       *davitv1.UpdateHostRequest
		class   error
		want    string
	}{
		"size":  {"two-sockets", pages(nil, 4096, 1), domain.ErrInvalid, "pages[0].page_kib: there are no pools of pages of 4096 KiB; there are of 2048, 1048576 KiB"},
		"usual": {"two-sockets", pages(nil, 4, 1), domain.ErrInvalid, "no pools of pages of 4 KiB"},
		"cell":  {"two-sockets", pages(new(uint32(7)), 2048, 1), domain.ErrInvalid, "pages[0].cell: there is no cell 7, the host has 2"},
		"count": {"two-sockets", pages(nil, 1048576, 32), domain.ErrInvalid, "pages[0].count: 32 pages of 1048576 KiB, the memory of cell 0 is 30 of them"},
		"pools": {"offline", pages(nil, 2048, 1), domain.ErrFailedPrecondition, "the kernel has no pools of huge pages"},
		"ksm": {
			"offline", &davitv1.UpdateHostRequest{Merging: &davitv1.MemoryMerging{SleepMillisecs: new(uint32)}},
			domain.ErrFailedPrecondition, "the kernel has no /sys/kernel/mm/ksm/sleep_millisecs",
		},
	} {
		h, _, _ := fixture(t, c.fixture)
		before, err := h.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if c.q.Merging == nil && c.fixture == "two-sockets" {
			c.q.Merging = &davitv1.MemoryMerging{PagesToScan: new(uint32(9))}
			c.q.Pages = append([]*davitv1.PageAllocation{{PageKib: 2048, Count: 3}}, c.q.Pages...)
			c.want = strings.ReplaceAll(c.want, "pages[0]", "pages[1]")
		}
		_, err = h.Update(c.q)
		if !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
		after, err := h.Stats()
		if err != nil {
			t.Fatal(err)
		}
		before.Time, after.Time = nil, nil
		if !proto.Equal(before, after) {
			t.Errorf("%s: something was changed", name)
		}
	}
}

func pages(cell *uint32, kib, count uint64) *davitv1.UpdateHostRequest {
	return &davitv1.UpdateHostRequest{Pages: []*davitv1.PageAllocation{{Cell: cell, PageKib: kib, Count: count}}}
}

// A kernel file that has something else in it is an error that names it, not a guess.
func TestDamage(t *testing.T) {
	for file, text := range map[string]string{
		"sys/devices/system/cpu/online":                "0-x",
		"sys/devices/system/cpu/present":               "0-99999999",
		"sys/devices/system/cpu/cpu1/topology/core_id": "one",
		"proc/stat":                             "intr 1",
		"sys/devices/system/node/node1/cpulist": "3-1",
	} {
		h, _, root := fixture(t, "two-sockets")
		if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := h.Describe()
		if _, e := h.Stats(); err == nil {
			err = e
		}
		if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(file, "/")) {
			t.Errorf("%s: error is %v", file, err)
		}
	}
}
