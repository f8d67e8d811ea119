package domain

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
)

// NewUUID makes up an identity: a random UUID in lower case.
func NewUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return formatUUID(b[:])
}

// ParseUUID reads a UUID with or without dashes, in either case, and gives it in RFC 9562's form in lower case.
func ParseUUID(s string) (string, error) {
	digits := s
	if strings.Contains(s, "-") {
		if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return "", notUUID(s)
		}
		digits = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != 16 {
		return "", notUUID(s)
	}
	return formatUUID(b), nil
}

func notUUID(s string) error {
	return fmt.Errorf("%s is not a UUID: 32 hexadecimal digits, with or without dashes", quote(s))
}

func formatUUID(b []byte) string {
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
