package domain_test

import (
	"strings"
	"testing"

	"github.com/davitd/davit/internal/protodoc"
)

// comments are the comments of the schema's files, one line each, by the full name of what they describe.
func comments(t *testing.T) map[string]string {
	t.Helper()
	all, err := protodoc.Read("../proto/davit/v1")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range all {
		all[name] = strings.ReplaceAll(text, "\n\n", " ")
	}
	return all
}
