package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/davitd/davit/convert/lxctools"
	"github.com/davitd/davit/convert/oci"
)

// nativePage writes what becomes of LXC's configuration and of OCI's: what people have written of it, and the converters' own
// tables in the places of {{lxc}} and {{oci}}.
func nativePage(tree string) (string, error) {
	text, err := os.ReadFile(filepath.Join(tree, "internal/docs/text/from-lxc.md"))
	if err != nil {
		return "", err
	}
	return strings.NewReplacer("{{lxc}}", lxcTable(), "{{oci}}", ociTable()).Replace(string(text)), nil
}

func lxcTable() string {
	var b strings.Builder
	b.WriteString("| key | becomes | what is told of |\n|---|---|---|\n")
	for _, k := range lxctools.Keys() {
		name := "`" + k.Name + "`"
		if k.Old != "" {
			name += ", of old `" + k.Old + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, cell(k.Becomes), cell(k.Why))
	}
	return b.String()
}

func ociTable() string {
	var b strings.Builder
	b.WriteString("| field | becomes | what is told of |\n|---|---|---|\n")
	for _, f := range oci.Fields() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Path, cell(f.Becomes), cell(f.Why))
	}
	return b.String()
}

// cell is text in a table; what is empty is a dash.
func cell(text string) string {
	if text == "" {
		return "–"
	}
	return escapeHTML.Replace(strings.ReplaceAll(text, "|", `\|`))
}
