package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/server/store"
)

// BenchmarkRestart is how long davitd takes, from its start, to answer again with 200 domains that run, and how much of
// that, and of what follows until it is killed, it computes itself.
func BenchmarkRestart(b *testing.B) {
	s := newSite(b, "lxc")
	d := s.launch(b)
	names := s.startMany(b, s.client(b), 200)
	d.kill()
	var computed time.Duration
	var resident int
	for b.Loop() {
		d = s.launch(b)
		b.StopTimer()
		resident = rss(b, d.cmd.Process.Pid)
		d.kill()
		computed += d.cmd.ProcessState.UserTime() + d.cmd.ProcessState.SystemTime()
		b.StartTimer()
	}
	b.StopTimer()
	b.ReportMetric(float64(computed.Milliseconds())/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(resident)/1024, "rss-MiB")
	d = s.launch(b)
	destroyMany(b, s.client(b), names)
	d.end(b)
}

// rss is the resident memory of a process in KiB.
func rss(b *testing.B, pid int) int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return kib
}

// BenchmarkStartDefined is how long davitd takes to answer with 1000 domains that are defined.
func BenchmarkStartDefined(b *testing.B) {
	s := newSite(b, "fake")
	into, err := store.Open(store.Options{LibDir: filepath.Join(s.root, "lib"), RunDir: filepath.Join(s.root, "run")})
	if err != nil {
		b.Fatal(err)
	}
	for n := range 1000 {
		def, _, err := domain.ParseXML([]byte(s.document(fmt.Sprintf("domain-%d", n))), domain.ParseOptions{})
		if err != nil {
			b.Fatal(err)
		}
		domain.Normalize(def)
		def.Uuid = domain.NewUUID()
		if err := into.Put(def); err != nil {
			b.Fatal(err)
		}
	}
	if err := into.Close(); err != nil {
		b.Fatal(err)
	}
	var resident int
	for b.Loop() {
		d := s.launch(b)
		b.StopTimer()
		resident = rss(b, d.cmd.Process.Pid)
		d.end(b)
		b.StartTimer()
	}
	b.ReportMetric(float64(resident)/1024, "rss-MiB")
}
