package store

import (
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// heading stands on top of every definition, as libvirt's does.
const heading = `<!--
This file is written by davitd. It is read when davitd starts: change it while
davitd does not run, or better by "davit define FILE", which checks it first.
-->
`

// encodeDefinition writes a definition as its file holds it: the canonical XML, less what only a running domain has.
func encodeDefinition(def *davitv1.Domain) ([]byte, error) {
	text, err := domain.FormatXML(def, domain.FormatOptions{Inactive: true})
	if err != nil {
		return nil, err
	}
	return []byte(heading + text), nil
}

// decodeDefinition reads a definition's file, which may have been changed by hand: it is completed and checked as one
// that is defined, but gets nothing of the host's, so that it means the same tomorrow.
func decodeDefinition(text []byte) (*davitv1.Domain, error) {
	def, _, err := domain.ParseXML(text, domain.ParseOptions{})
	if err != nil {
		return nil, err
	}
	domain.Normalize(def)
	if err := domain.Validate(def); err != nil {
		return nil, err
	}
	return def, nil
}
