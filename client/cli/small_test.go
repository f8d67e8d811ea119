package cli_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/client/cli"
)

func TestSizeKiB(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "512": 512, "1b": 1, "1024 bytes": 1, "1025b": 2, "3k": 3, "3KiB": 3, "1000KB": 977, "64M": 65536,
		"64 MiB": 65536, "1g": 1 << 20, "1TiB": 1 << 30,
	} {
		if got, ok := cli.SizeKiB(text); !ok || got != want {
			t.Errorf("%q is %d KiB, %t; want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "M", "-1", "1.5M", "1furlong", "1XB", "99999999999999999999", "9999999999T", "1 M B"} {
		if got, ok := cli.SizeKiB(text); ok {
			t.Errorf("%q is taken for %d KiB", text, got)
		}
	}
}

func TestMoment(t *testing.T) {
	zone := time.FixedZone("UTC+2", 2*60*60)
	now := time.Date(2026, 3, 1, 15, 4, 5, 0, zone)
	for text, want := range map[string]string{
		"now": "2026-03-01T15:04:05+02:00", "today": "2026-03-01T00:00:00+02:00", "yesterday": "2026-02-28T00:00:00+02:00",
		"10m": "2026-03-01T14:54:05+02:00", "1h30m": "2026-03-01T13:34:05+02:00", "2d": "2026-02-27T15:04:05+02:00",
		"90": "2026-03-01T15:02:35+02:00", "2026-01-02": "2026-01-02T00:00:00+02:00",
		"2026-01-02 03:04": "2026-01-02T03:04:00+02:00", "2026-01-02T03:04:05Z": "2026-01-02T03:04:05Z",
	} {
		got, err := cli.Moment(text, now)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%q is %s, %v; want %s", text, got.Format(time.RFC3339), err, want)
		}
	}
	for _, text := range []string{"", "soon", "-5m", "10 parsecs", "2026-13-01", "1.5d"} {
		if got, err := cli.Moment(text, now); err == nil {
			t.Errorf("%q is taken for %s", text, got)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"list", "domstate", "domstats", "dominfo", "domid", "shutdown", "start", "vcpucount", "cd"}
	for word, want := range map[string][]string{
		"lsit": {"list"}, "LIST": {"list"}, "lst": {"list"}, "shutdwon": {"shutdown"}, "star": {"start"},
		"domsta": {"domstate", "domstats"}, "dominof": {"dominfo"}, "vcpu": {"vcpucount"}, "xyzzy": nil, "q": nil, "": nil,
	} {
		if diff := cmp.Diff(want, cli.Nearest(word, known)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", word, diff)
		}
	}
}

func TestSignalNumber(t *testing.T) {
	for word, want := range map[string]int{
		"9": 9, "0": 0, "nop": 0, "hup": 1, "HUP": 1, "sigterm": 15, "SIG_KILL": 9, "sig_rt0": 32, "rt2": 34, "RT32": 64, "usr1": 10,
	} {
		if got, ok := cli.SignalNumber(word); !ok || got != want {
			t.Errorf("%q is %d, %t; want %d", word, got, ok, want)
		}
	}
	for _, word := range []string{"", "-1", "sig", "rt33", "rt-1", "nonsense"} {
		if got, ok := cli.SignalNumber(word); ok {
			t.Errorf("%q is taken for %d", word, got)
		}
	}
}

// TestElement puts an element into a namespace and out of it again.
func TestElement(t *testing.T) {
	const uri = "http://app.example/?a=1&b=2"
	tests := []struct{ given, want, bare string }{
		{"<app/>", `<k:app xmlns:k="http://app.example/?a=1&amp;b=2"/>`, "<app/>"},
		{
			"<app a='x>y'><b>t &amp; u</b><!-- c --><c/></app>\n",
			`<k:app xmlns:k="http://app.example/?a=1&amp;b=2" a='x>y'><k:b>t &amp; u</k:b><!-- c --><k:c/></k:app>`,
			"<app a='x>y'><b>t &amp; u</b><!-- c --><c/></app>",
		},
		{
			`<app><o:other xmlns:o="urn:o"><o:in/></o:other></app>`,
			`<k:app xmlns:k="http://app.example/?a=1&amp;b=2"><o:other xmlns:o="urn:o"><o:in/></o:other></k:app>`,
			`<app><o:other xmlns:o="urn:o"><o:in/></o:other></app>`,
		},
	}
	for _, tt := range tests {
		got, err := cli.NewElement(tt.given, "k", uri)
		if err != nil || got != tt.want {
			t.Errorf("%s becomes\n%s, %v; want\n%s", tt.given, got, err, tt.want)
		}
		bare, found, err := cli.BareElement(`<a:a xmlns:a="urn:a"/>`+"\n    "+got, uri)
		if err != nil || !found || bare != tt.bare {
			t.Errorf("%s is found as\n%s, %t, %v; want\n%s", got, bare, found, err, tt.bare)
		}
	}
	for _, doc := range []string{"", "text", "<a>", "<a/><b/>", "<a></b>", "<a b=c/>"} {
		if got, err := cli.NewElement(doc, "k", uri); err == nil {
			t.Errorf("%q becomes %q", doc, got)
		}
	}
}
