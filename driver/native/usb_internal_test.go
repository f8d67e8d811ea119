package native

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// A USB device is found by its ids, its place or both, and no other is taken for it.
func TestFindUSB(t *testing.T) {
	folder := t.TempDir()
	for name, files := range map[string]map[string]string{
		"1-1":     {"busnum": "1\n", "devnum": "8\n", "idVendor": "046d\n", "idProduct": "c52b\n", "dev": "189:7\n"},
		"1-2":     {"busnum": "1\n", "devnum": "9\n", "idVendor": "046d\n", "idProduct": "c52b\n", "dev": "189:8\n"},
		"2-1":     {"busnum": "2\n", "devnum": "8\n", "idVendor": "0951\n", "idProduct": "1666\n", "dev": "189:135\n"},
		"1-1:1.0": {"bInterfaceClass": "03\n"},
		"3-1":     {"busnum": "3\n", "devnum": "1\n", "idVendor": "1d6b\n", "idProduct": "0002\n", "dev": "odd\n"},
	} {
		for file, text := range files {
			if err := os.MkdirAll(filepath.Join(folder, name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, name, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	ids := func(vendor, product string) *davitv1.Hostdev {
		return &davitv1.Hostdev{SourceVendorId: vendor, SourceProductId: product}
	}
	at := func(h *davitv1.Hostdev, bus, device uint32) *davitv1.Hostdev {
		h.SourceBus, h.SourceDevice = &bus, &device
		return h
	}
	for name, test := range map[string]struct {
		device *davitv1.Hostdev
		want   Source
		why    string
	}{
		"by ids":        {ids("0x0951", "0x1666"), Source{Major: 189, Minor: 135, Nodes: []string{"bus/usb/002/008"}}, ""},
		"by place":      {at(ids("", ""), 1, 8), Source{Major: 189, Minor: 7, Nodes: []string{"bus/usb/001/008"}}, ""},
		"by both":       {at(ids("0x046d", "0xc52b"), 1, 9), Source{Major: 189, Minor: 8, Nodes: []string{"bus/usb/001/009"}}, ""},
		"several":       {ids("0x046d", "0xc52b"), Source{}, "2 USB devices 046d:c52b"},
		"none":          {ids("0x1234", "0x5678"), Source{}, "no USB device 1234:5678"},
		"another there": {at(ids("0x0951", "0x1666"), 1, 8), Source{}, "no USB device 0951:1666, 8 on bus 1"},
		"no number":     {ids("0x1d6b", "0x0002"), Source{}, "no USB device"},
	} {
		got := findUSB(folder, test.device)
		if !strings.Contains(got.Missing, test.why) || (got.Missing == "") != (test.why == "") {
			t.Errorf("%s: %q, want %q", name, got.Missing, test.why)
		}
		got.Missing = ""
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	if s := findUSB(filepath.Join(folder, "none"), ids("0x1234", "0x5678")); !strings.Contains(s.Missing, "no USB device") {
		t.Errorf("a host without USB: %+v", s)
	}
}
