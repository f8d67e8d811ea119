// Package docs writes the pages of the documentation that are made from the code: the reference of the API, from the
// protobuf sources; that of the command line, from its tree of commands; the manual pages, from both and from the
// configuration; and what the converters of package convert do.
//
//	go test ./internal/docs            says whether the pages are what the code says
//	go test ./internal/docs -update    writes them
//
// What people have written of the manual pages, in mdoc(7), and of the converters is in the folder text, with places for what is
// generated.
// The pages of the schema, of errors and of the life of a domain are made by the tests of package domain.
package docs

import (
	"fmt"
	"path/filepath"
)

// Pages makes all pages from a tree of sources, by their paths in it.
func Pages(tree string) (map[string]string, error) {
	pages := map[string]string{"docs/cli.md": cliPage()}
	var err error
	if pages["docs/api.md"], err = apiPage(filepath.Join(tree, "proto/davit/v1")); err != nil {
		return nil, err
	}
	if pages["docs/from-lxc.md"], err = nativePage(tree); err != nil {
		return nil, fmt.Errorf("write page of converters: %w", err)
	}
	for _, name := range []string{"davit.1", "davitd.8", "davitd.toml.5", "davit-monitor.8"} {
		if pages["docs/man/"+name], err = manual(tree, name); err != nil {
			return nil, fmt.Errorf("write manual page %s: %w", name, err)
		}
	}
	return pages, nil
}
