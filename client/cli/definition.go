package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"

	"github.com/davitd/davit/client"
	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// maxDefinition is how much of a file is read: more than any definition may have.
const maxDefinition = 4 << 20

// The notations of definitions.
const (
	inXML  = "xml"
	inJSON = "json"
	inYAML = "yaml"
)

// readFile reads a file, or standard input for "-".
func (a *app) readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(a.in, maxDefinition))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, failed(nil, "Failed to open file '%s': %s", name, plain(err))
	}
	defer func() { _ = f.Close() }()
	doc, err := io.ReadAll(io.LimitReader(f, maxDefinition))
	if err != nil {
		return nil, failed(nil, "Failed to read file '%s': %s", name, plain(err))
	}
	return doc, nil
}

// notationOf tells how a definition is written: by the name of its file, else by how it begins.
func notationOf(name string, doc []byte) string {
	switch filepath.Ext(name) {
	case ".xml":
		return inXML
	case ".json":
		return inJSON
	case ".yaml", ".yml":
		return inYAML
	}
	switch start := bytes.TrimLeft(bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf")), " \t\r\n"); {
	case bytes.HasPrefix(start, []byte("<")), len(start) == 0:
		return inXML
	case bytes.HasPrefix(start, []byte("{")):
		return inJSON
	}
	return inYAML
}

// readDefinition reads a definition for the daemon. XML goes as it is, so that the daemon's faults name its lines.
func (a *app) readDefinition(name string) (*davitv1.DefinitionSource, error) {
	doc, err := a.readFile(name)
	if err != nil {
		return nil, err
	}
	a.given = string(doc)
	source, err := sourceOf(notationOf(name, doc), a.given)
	if err != nil {
		return nil, failed(err, "Failed to parse %s", name)
	}
	return source, nil
}

// sourceOf is a definition as the daemon takes it.
func sourceOf(notation, doc string) (*davitv1.DefinitionSource, error) {
	if notation == inXML {
		return client.XML(doc), nil
	}
	def, err := parseModel(notation, []byte(doc))
	if err != nil {
		return nil, err
	}
	return client.Model(def), nil
}

func parseModel(notation string, doc []byte) (*davitv1.Domain, error) {
	if notation == inJSON {
		return domain.ParseJSON(doc)
	}
	return domain.ParseYAML(doc)
}

// parseLocally reads a definition without a daemon and completes it as libvirt does.
func (a *app) parseLocally(name string, strict bool) (*davitv1.Domain, []*davitv1.Warning, error) {
	doc, err := a.readFile(name)
	if err != nil {
		return nil, nil, err
	}
	a.given = string(doc)
	var def *davitv1.Domain
	var warnings []*davitv1.Warning
	if notation := notationOf(name, doc); notation == inXML {
		def, warnings, err = domain.ParseXML(doc, domain.ParseOptions{Strict: strict})
	} else {
		def, err = parseModel(notation, doc)
	}
	if err != nil {
		return nil, nil, failed(err, "Failed to parse %s", name)
	}
	domain.Normalize(def)
	return def, append(warnings, domain.NotHonoured(def)...), nil
}

// printDefinition prints a definition in a notation.
func (a *app) printDefinition(def *davitv1.Domain, notation string) error {
	doc, err := formatDefinition(def, notation)
	if err != nil {
		return err
	}
	if len(doc) > 0 && doc[len(doc)-1] != '\n' {
		doc += "\n"
	}
	a.print("%s", doc)
	return nil
}

func formatDefinition(def *davitv1.Domain, notation string) (string, error) {
	switch notation {
	case inJSON:
		return domain.FormatJSON(def)
	case inYAML:
		return domain.FormatYAML(def)
	}
	return domain.FormatXML(def, domain.FormatOptions{})
}
