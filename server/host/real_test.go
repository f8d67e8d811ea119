package host_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/davitd/davit/server/host"
)

// What this host is, whatever that be, is told in one piece.
func TestThisHost(t *testing.T) {
	h := host.At("/")
	d, err := h.Describe()
	if err != nil {
		t.Fatal(err)
	}
	if d.GetCpus() == 0 || d.GetCpus() > d.GetCpusPresent() || d.GetCells() == 0 || d.GetMemoryBytes() < 1<<20 || d.GetCpusOnline() == "" {
		t.Errorf("host is %v", d)
	}
	s, err := h.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if uint32(len(s.GetCpus())) != d.GetCpus() || uint32(len(s.GetCells())) != d.GetCells() || s.GetTotal().GetUser().AsDuration() == 0 {
		t.Errorf("measured %v on %v", s, d)
	}
	text, err := h.Capabilities()
	if err != nil {
		t.Fatal(err)
	}
	for in := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := in.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
	t.Logf("%v\n%s", d, text)
}
