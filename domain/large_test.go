package domain_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/davitd/davit/domain"
	"github.com/davitd/davit/internal/processor"
)

// largeDocuments are what costs most to read for its size: each is about as large as a document may be, or has as many
// elements.
func largeDocuments() map[string]string {
	const head = "<domain type='lxc'><name>large</name><memory>65536</memory><os><type>exe</type><init>/init</init>"
	top := func(body string) string { return head + "</os>" + body + "</domain>" }
	devices := func(one func(i int) string, limit int) string {
		return top("<devices>" + repeatEach(one, limit) + "</devices>")
	}
	docs := map[string]string{
		"text":       top("<description>" + strings.Repeat("a", 900_000) + "</description>"),
		"references": top("<description>" + strings.Repeat("&lt;", 200_000) + "</description>"),
		"arguments":  head + repeatEach(func(i int) string { return fmt.Sprintf("<initarg>%025d</initarg>", i) }, domain.MaxElements-20) + "</os></domain>",
		"variables":  head + repeatEach(func(i int) string { return fmt.Sprintf("<initenv name='V%d'>%015d</initenv>", i, i) }, domain.MaxElements-20) + "</os></domain>",
		"unknown":    devices(func(i int) string { return fmt.Sprintf("<unknown%d attribute='value of it'/>", i%7) }, domain.MaxElements-20),
		"kept":       devices(func(i int) string { return fmt.Sprintf("<graphics port='%d' listen='0.0.0.0'/>", i) }, domain.MaxElements-20),
		"kept of many names": devices(func(i int) string {
			return "<" + []string{"graphics", "video", "sound", "rng", "tpm"}[i%5] + " model='something of this kind'/>"
		}, domain.MaxElements-20),
		"kept and deep": devices(func(int) string {
			return "<video>" + strings.Repeat("<a>", 25) + strings.Repeat("</a>", 25) + "</video>"
		}, domain.MaxElements/27),
		"kept with text": devices(func(int) string {
			return "<video> x <a/> x <a/> x <a/> x <a/> x </video>"
		}, domain.MaxElements/6),
		"kept in one": devices(func(int) string {
			return "<video>" + strings.Repeat("<a b='c'/> text ", domain.MaxElements-30) + "</video>"
		}, 1),
		"kept with namespaces": devices(func(int) string {
			return "<video" + repeatEach(func(i int) string { return fmt.Sprintf(" xmlns:n%d='urn:n%d'", i, i) }, 60) + ">" +
				repeatEach(func(i int) string { return fmt.Sprintf("<n%d:a n%d:b=''/>", i, 59-i) }, 60) + "</video>"
		}, 300),
		"metadata": top("<metadata>" + repeatEach(func(i int) string {
			return fmt.Sprintf("<a:x xmlns:a='urn:%d'>%s</a:x>", i, strings.Repeat("<a:y z='1'/>", 70))
		}, 250) + "</metadata>"),
		"blkio devices": top("<blkiotune>" + repeatEach(func(i int) string {
			return fmt.Sprintf("<device><path>/dev/sd%d</path><weight>7</weight></device>", i)
		}, 6600) + "</blkiotune>"),
		"labels": top(repeatEach(func(i int) string {
			return fmt.Sprintf("<seclabel type='dynamic' model='m%d'/>", i)
		}, domain.MaxElements-20)),
		"filesystems": devices(func(i int) string {
			return fmt.Sprintf("<filesystem><source dir='/srv/%d'/><target dir='/%d'/></filesystem>", i, i)
		}, 6600),
		"disks": devices(func(i int) string {
			return fmt.Sprintf("<disk><source file='/srv/%d'/><target dev='vd%s'/></disk>", i, letters(i))
		}, 6600),
		"disks with controllers": devices(func(i int) string {
			return fmt.Sprintf("<disk><source file='/srv/%d'/><target dev='sd%s'/></disk>", i, letters(i%1700))
		}, 6600),
		"controllers": devices(func(int) string { return "<controller type='usb'/>" }, domain.MaxElements-20),
		"interfaces": devices(func(i int) string {
			return fmt.Sprintf("<interface type='bridge'><source bridge='br0'/><guest dev='e%d'/></interface>", i)
		}, 6600),
		"interfaces with addresses": devices(func(int) string {
			return "<interface type='ethernet'>" + repeatEach(func(i int) string {
				return fmt.Sprintf("<ip address='2001:db8::%x' prefix='64'/><route address='2001:db8:%x::' prefix='48' gateway='2001:db8::1'/>", i+1, i)
			}, 4) + "</interface>"
		}, 2000),
		"addresses of one": devices(func(int) string {
			return "<interface type='ethernet'>" + repeatEach(func(i int) string {
				return fmt.Sprintf("<ip address='10.%d.%d.1' prefix='24'/>", i/250, i%250)
			}, domain.MaxElements-20) + "</interface>"
		}, 1),
		"tags of one": devices(func(int) string {
			return "<interface type='bridge'><source bridge='b'/><vlan>" + repeatEach(func(i int) string {
				return fmt.Sprintf("<tag id='%d'/>", i%4094+1)
			}, domain.MaxElements-20) + "</vlan></interface>"
		}, 1),
		"host devices": devices(func(i int) string {
			return fmt.Sprintf("<hostdev mode='subsystem' type='usb'><source><vendor id='%d'/><product id='%d'/></source></hostdev>", i, i)
		}, 4900),
		"timers": top("<clock>" + strings.Repeat("<timer name='rtc'/>", domain.MaxElements-20) + "</clock>"),
	}
	return docs
}

func repeatEach(one func(i int) string, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(one(i))
	}
	return b.String()
}

// letters number disks: a to z, aa to zz, aaa and on.
func letters(i int) string {
	s := ""
	for i++; i > 0; i = (i - 1) / 26 {
		s = string(rune('a'+(i-1)%26)) + s
	}
	return s
}

// TestLargeDocuments: whatever a document of the greatest size says, it is read or refused in time, and in 64 MiB. The
// time is far above what it takes on a busy machine, and far below what it would take if it grew with the square of the size.
func TestLargeDocuments(t *testing.T) {
	for name, doc := range largeDocuments() {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			if len(doc) > domain.MaxDocument {
				t.Fatalf("the document has %d bytes", len(doc))
			}
			for _, strict := range []bool{false, true} {
				if strict && testing.Short() {
					continue
				}
				var peak uint64
				var err error
				took := processor.Time(t, func() {
					peak, err = peakMemory(func() error {
						_, _, refusal := domain.Read(xmlSource(doc), domain.ReadOptions{Strict: strict, Host: goldenHost()})
						return refusal
					})
				})
				if took > 10*time.Second {
					t.Errorf("strict %v: it took %v", strict, took)
				}
				if peak > 64<<20 {
					t.Errorf("strict %v: it took %d MiB", strict, peak>>20)
				}
				if err != nil && !errors.Is(err, domain.ErrInvalid) {
					t.Error(err)
				}
			}
		})
	}
}

// peakMemory is how much f has on the heap at most, garbage that is not collected yet among it.
func peakMemory(f func() error) (uint64, error) {
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	done, peaked := make(chan struct{}), make(chan uint64)
	go func() {
		peak := uint64(0)
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			if now.HeapAlloc > before.HeapAlloc {
				peak = max(peak, now.HeapAlloc-before.HeapAlloc)
			}
			select {
			case <-done:
				peaked <- peak
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	err := f()
	close(done)
	return <-peaked, err
}

// TestLargeDocumentsParts: what a document takes does not come in a great many parts. Unlike time it is the same on every machine.
func TestLargeDocumentsParts(t *testing.T) {
	const most = 35 * domain.MaxElements
	for name, doc := range largeDocuments() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, _ = domain.Read(xmlSource(doc), domain.ReadOptions{Host: goldenHost()})
		runtime.ReadMemStats(&after)
		if parts := after.Mallocs - before.Mallocs; parts > most {
			t.Errorf("%s: reading it made %d allocations, %d are the limit", name, parts, most)
		}
	}
}

// BenchmarkReadLarge reads each of them, and tells the processor's time beside that of the clock.
func BenchmarkReadLarge(b *testing.B) {
	for name, doc := range largeDocuments() {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			var took time.Duration
			for b.Loop() {
				took += processor.Time(b, func() {
					_, _, _ = domain.Read(xmlSource(doc), domain.ReadOptions{Host: goldenHost()})
				})
			}
			b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "cpu-ms/op")
		})
	}
}
