package engine_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// many is how many domains are defined in the benchmarks of lists.
const many = 10_000

// defined is a daemon with many definitions, as it is after a start. Their files are written without the store, which
// would wait for the disk for each.
func defined(b *testing.B, n int) *house {
	b.Helper()
	h := newHouse(b)
	h.open(0)
	b.Cleanup(func() { h.stop() })
	for i := range n {
		def, _, err := domain.Read(xml(fmt.Sprintf("domain-%05d", i), ""), domain.ReadOptions{Host: domain.HostDefaults{Arch: "x86_64"}})
		if err != nil {
			b.Fatal(err)
		}
		text, err := domain.FormatXML(def, domain.FormatOptions{Inactive: true})
		if err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(fmt.Sprintf("%s/lib/domains/%s.xml", h.dir, def.GetUuid()), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	h.recover()
	return h
}

// BenchmarkLoad10000 is a start of the daemon with many definitions.
func BenchmarkLoad10000(b *testing.B) {
	h := defined(b, many)
	for b.Loop() {
		b.StopTimer()
		h.stop()
		h.open(0)
		b.StartTimer()
		h.recover()
	}
}

func BenchmarkList10000(b *testing.B) {
	h := defined(b, many)
	for b.Loop() {
		names, _ := h.list(&davitv1.ListDomainsRequest{PageSize: 1000}, nil)
		if len(names) != many {
			b.Fatalf("%d domains", len(names))
		}
	}
}

func BenchmarkGet(b *testing.B) {
	h := defined(b, 1000)
	for b.Loop() {
		if h.get("domain-00500") == nil {
			b.Fatal("it is gone")
		}
	}
}

func BenchmarkDefine(b *testing.B) {
	h := newHouse(b)
	h.start()
	defer h.stop()
	i := 0
	for b.Loop() {
		h.define(fmt.Sprintf("domain-%d", i), "")
		i++
	}
}

// BenchmarkStartDestroy is all that the engine, the store and the journal add to a start and an end.
func BenchmarkStartDestroy(b *testing.B) {
	h := newHouse(b)
	h.start()
	defer h.stop()
	h.define("web", uuidWeb)
	destroy := &davitv1.DestroyDomainRequest{Domain: byName("web")}
	for b.Loop() {
		h.boot("web")
		if _, err := h.DestroyDomain(b.Context(), destroy); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecover500 is a start of the daemon with many running domains.
func BenchmarkRecover500(b *testing.B) {
	h := newHouse(b)
	h.start()
	for i := range 500 {
		name := fmt.Sprintf("domain-%03d", i)
		h.define(name, "")
		h.boot(name)
	}
	for b.Loop() {
		b.StopTimer()
		h.kill()
		b.StartTimer()
		h.start()
	}
	h.stop()
}
