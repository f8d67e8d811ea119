package domain

import (
	"crypto/sha256"
	"encoding/hex"

	"google.golang.org/protobuf/proto"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Etag names what a definition says: 32 hexadecimal digits that differ whenever its inactive XML does, and are the same
// on every host and in every version of davit that writes that XML.
func Etag(def *davitv1.Domain) string {
	text, err := FormatXML(def, FormatOptions{Inactive: true})
	if err != nil { // no XML, no canonical form; such a definition is never stored
		wire, _ := proto.MarshalOptions{Deterministic: true}.Marshal(def)
		text = string(wire)
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}
