package host

import (
	"os"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

const dmiFolder = "sys/class/dmi/id/"

// smbios are the elements of libvirt's sysinfo document with the kernel's names for them.
var smbios = []struct {
	element string
	entries [][2]string
}{
	{"bios", [][2]string{
		{"vendor", "bios_vendor"}, {"version", "bios_version"}, {"date", "bios_date"}, {"release", "bios_release"},
	}},
	{"system", [][2]string{
		{"manufacturer", "sys_vendor"},
		{"product", "product_name"},
		{"version", "product_version"},
		{"serial", "product_serial"},
		{"uuid", "product_uuid"},
		{"sku", "product_sku"},
		{"family", "product_family"},
	}},
	{"baseBoard", [][2]string{
		{"manufacturer", "board_vendor"},
		{"product", "board_name"},
		{"version", "board_version"},
		{"serial", "board_serial"},
		{"asset", "board_asset_tag"},
	}},
	{"chassis", [][2]string{
		{"manufacturer", "chassis_vendor"},
		{"version", "chassis_version"},
		{"serial", "chassis_serial"},
		{"asset", "chassis_asset_tag"},
	}},
}

// Sysinfo is libvirt's sysinfo document of what the firmware tells. The kernel shows serial numbers and the identity of the
// machine to root only, and so does this: all of it if private is true.
func (h *Host) Sysinfo(private bool) (string, error) {
	var d document
	d.element("sysinfo", []attr{{"type", "smbios"}}, func() {
		for _, e := range smbios {
			h.smbios(&d, e.element, e.entries, private)
		}
	})
	if !strings.Contains(d.String(), "<entry") {
		return "", &domain.Error{
			Code: codes.Unimplemented, Reason: davitv1.ErrorReason_ERROR_REASON_HOST_UNSUPPORTED,
			Op: "get sysinfo", Message: "the host's firmware tells nothing (no SMBIOS)",
			Detail: map[string]string{"feature": "smbios"},
		}
	}
	return d.String(), nil
}

// smbios writes an element with the entries that there are, nothing if there are none.
func (h *Host) smbios(d *document, element string, entries [][2]string, private bool) {
	var found [][2]string
	for _, e := range entries {
		if text, ok := h.told(dmiFolder+e[1], private); ok {
			found = append(found, [2]string{e[0], text})
		}
	}
	if len(found) == 0 {
		return
	}
	d.element(element, nil, func() {
		for _, e := range found {
			d.text("entry", e[1], attr{"name", e[0]})
		}
	})
}

// told reads what the firmware tells, if it may be passed on. Firmware writes what it likes: only what can stand in XML is
// taken.
func (h *Host) told(name string, private bool) (text string, ok bool) {
	info, err := os.Stat(h.path(name))
	if err != nil || !private && info.Mode().Perm()&0o004 == 0 {
		return "", false
	}
	text, err = h.text(name)
	if err != nil {
		return "", false
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\ufffd' || r == 0xfffe || r == 0xffff {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	return text, text != ""
}
