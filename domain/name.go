package domain

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// MaxDomainName is the greatest length of a domain's name in bytes.
const MaxDomainName = 255

// ValidateName refuses what cannot be a domain's name: it is 1 to 255 bytes of UTF-8 without "/" and control
// characters, not blank, and neither "." nor "..".
func ValidateName(name string) error {
	if message := nameFault(name); message != "" {
		return &Error{
			Code: codes.InvalidArgument, Reason: davitv1.ErrorReason_ERROR_REASON_REQUEST_INVALID,
			Op: "use domain name", Message: message, Detail: map[string]string{"name": strings.ToValidUTF8(name[:min(len(name), MaxDomainName)], "\ufffd")},
		}
	}
	return nil
}

func nameFault(name string) string {
	switch {
	case strings.TrimSpace(name) == "":
		return "a domain needs a name"
	case len(name) > MaxDomainName:
		return fmt.Sprintf("name %s has %d bytes, %d are the limit", quote(name), len(name), MaxDomainName)
	case name == ".", name == "..":
		return fmt.Sprintf("%q cannot be a name", name)
	case !utf8.ValidString(name):
		return fmt.Sprintf("name %s is not UTF-8", quote(name))
	}
	for _, r := range name {
		if r == '/' {
			return fmt.Sprintf("name %s contains %q", quote(name), "/")
		}
		if unicode.IsControl(r) || !isXMLChar(r) || r == '\u2028' || r == '\u2029' {
			return fmt.Sprintf("name %s contains the control character %U", quote(name), r)
		}
	}
	return ""
}
