package domain_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/davitd/davit/domain"
)

func TestValidateName(t *testing.T) {
	for _, name := range []string{"web", "8675309", "a b", "ünï", "-rf", "...", "a.b_c-d", "$(reboot)", "😀", strings.Repeat("a", 255)} {
		if err := domain.ValidateName(name); err != nil {
			t.Errorf("ValidateName(%q): %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"":                       "a domain needs a name",
		" \t ":                   "a domain needs a name",
		".":                      `"." cannot be a name`,
		"..":                     `".." cannot be a name`,
		"a/b":                    `contains "/"`,
		"../../etc":              `contains "/"`,
		"a\nb":                   "control character U+000A",
		"a\x00b":                 "control character U+0000",
		"a\u0085b":               "control character U+0085",
		"a\u2028b":               "control character U+2028",
		"a\ufffeb":               "control character U+FFFE",
		"a\xff":                  "is not UTF-8",
		strings.Repeat("a", 256): "has 256 bytes, 255 are the limit",
	} {
		err := domain.ValidateName(name)
		if !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("ValidateName(%q): %v; want a refusal that says %q", name, err, want)
		}
	}
}

func TestParseUUID(t *testing.T) {
	const want = "6f1d2c3b-4a59-4687-9876-5a4b3c2d1e0f"
	for _, in := range []string{want, strings.ToUpper(want), strings.ReplaceAll(want, "-", "")} {
		if got, err := domain.ParseUUID(in); err != nil || got != want {
			t.Errorf("ParseUUID(%q) is %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "6f1d2c3b", want + "0", want[1:], strings.Replace(want, "f", "g", 1), "{" + want + "}", strings.Replace(want, "-", "", 1), "../" + want[3:]} {
		if got, err := domain.ParseUUID(in); err == nil {
			t.Errorf("ParseUUID(%q) is %q", in, got)
		}
	}
}

func TestParseID(t *testing.T) {
	for _, c := range []struct {
		in      string
		id      uint32
		numeric bool
	}{
		{"root", 0, false},
		{"www-data", 0, false},
		{"0", 0, true},
		{"1000", 1000, true},
		{"+1000", 1000, true},
		{"4294967294", 4294967294, true},
		{"1a", 0, false},
	} {
		if id, numeric, err := domain.ParseID(c.in); err != nil || id != c.id || numeric != c.numeric {
			t.Errorf("ParseID(%q) is %d, %v, %v", c.in, id, numeric, err)
		}
	}
	for _, in := range []string{"", "+", "+root", "+-1", "-1", "4294967295", "+4294967295", "99999999999999999999", "a:b", "a b", "a\nb", "-x", "a/b", strings.Repeat("a", 256)} {
		if id, _, err := domain.ParseID(in); err == nil {
			t.Errorf("ParseID(%q) is %d", in, id)
		}
	}
}
