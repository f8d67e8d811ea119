package cli

import "io"

// Excerpt is a line of a document with a caret below a column, on a terminal.
func Excerpt(doc string, line, column int) string {
	return excerpt(&screen{to: io.Discard, terminal: true}, doc, line, column)
}

// ModelPlace finds a field in a document in JSON or YAML.
func ModelPlace(doc, field string) (line, column int) { return modelPlace(doc, field) }
