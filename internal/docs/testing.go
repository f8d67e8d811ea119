package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// named is a room, a target of make or a test, as pages name them: `server/store` TestX, TestY; `make soak`.
var named = regexp.MustCompile("`make ([a-z-]+)[^`]*`|`([a-z0-9]+(?:[/-][a-z0-9]+)*)`|\\b((?:Test|Fuzz|Benchmark)[A-Z0-9]\\w*)")

// UnknownTests gives the tests that a page names and the room that it names before them does not have, and the targets of make that
// there are not. A line names rooms for itself.
func UnknownTests(root, page string) []string {
	makefile, _ := os.ReadFile(filepath.Join(root, "Makefile"))
	tests := map[string]string{} // of each room, the text
	var unknown []string
	for line := range strings.Lines(page) {
		room := ""
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			target, folder, test := m[1], m[2], m[3]
			switch {
			case target != "":
				if !strings.Contains(string(makefile), "\n"+target+":") {
					unknown = append(unknown, "make "+target)
				}
			case folder != "":
				if info, err := os.Stat(filepath.Join(root, folder)); err == nil && info.IsDir() {
					room = folder
				}
			case room != "":
				if _, read := tests[room]; !read {
					tests[room] = testsOf(filepath.Join(root, room))
				}
				if !strings.Contains(tests[room], "\nfunc "+test+"(") {
					unknown = append(unknown, room+" "+test)
				}
			}
		}
	}
	return unknown
}

// testsOf is the text of a room's tests.
func testsOf(room string) string {
	files, _ := filepath.Glob(filepath.Join(room, "*_test.go"))
	var b strings.Builder
	for _, file := range files {
		text, _ := os.ReadFile(file)
		b.WriteString("\n")
		b.Write(text)
	}
	return b.String()
}
