// Package protodoc reads the comments of protobuf sources, which generated Go does not hold.
//
//	all, err := protodoc.Read("proto/davit/v1")
//	all["davit.v1.DomainService.DefineDomain"] // "DefineDomain stores a definition, …"
//
// It knows no grammar: it relies on buf format, which puts one declaration on a line and comments on the lines before it.
package protodoc

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Read gives the comments of a folder's files by the full name of what they describe. Lines are joined by spaces, and
// paragraphs parted by an empty line.
func Read(folder string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.proto"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("read comments in %q: no protobuf sources are there", folder)
	}
	all := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read comments: %w", err)
		}
		read(string(text), all)
	}
	return all, nil
}

// declarations are the lines that a comment may precede; the first group is the name.
var declarations = []*regexp.Regexp{
	regexp.MustCompile(`^(?:message|enum|service|oneof|extend) (\w+(?:\.\w+)*) \{`),
	regexp.MustCompile(`^rpc (\w+)\(`),
	regexp.MustCompile(`^(?:repeated )?(?:[\w.]+|map<\w+, [\w.]+>) (\w+) = \d+`),
	regexp.MustCompile(`^([A-Z][A-Z0-9_]*) = \d+`),
}

var inPackage = regexp.MustCompile(`(?m)^package ([\w.]+);`)

// read reads one file.
func read(text string, all map[string]string) {
	var scope, comment []string
	if m := inPackage.FindStringSubmatch(text); m != nil {
		scope = []string{m[1]}
	}
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if c, ok := strings.CutPrefix(line, "//"); ok {
			comment = append(comment, strings.TrimSpace(c))
			continue
		}
		name := nameOf(line)
		if name != "" && len(comment) > 0 {
			full := slices.DeleteFunc(append(slices.Clone(scope), name), func(part string) bool { return part == "" })
			all[strings.Join(full, ".")] = paragraphs(comment)
		}
		comment = nil
		if strings.HasSuffix(line, "{") || strings.HasSuffix(line, "[") {
			if strings.HasPrefix(line, "oneof ") {
				name = "" // its fields are the message's
			}
			scope = append(scope, name)
		}
		if strings.HasPrefix(line, "}") || strings.HasPrefix(line, "]") {
			scope = scope[:len(scope)-1]
		}
	}
}

func nameOf(line string) string {
	for _, re := range declarations {
		if m := re.FindStringSubmatch(line); m != nil {
			return m[1]
		}
	}
	return ""
}

// paragraphs joins the lines of each paragraph.
func paragraphs(lines []string) string {
	var b strings.Builder
	for i, line := range lines {
		switch {
		case line == "":
			b.WriteString("\n\n")
			continue
		case i > 0 && lines[i-1] != "":
			b.WriteByte(' ')
		}
		b.WriteString(line)
	}
	return strings.TrimSpace(b.String())
}
