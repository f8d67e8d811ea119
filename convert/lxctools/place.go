package lxctools

import (
	"fmt"

	"github.com/davitd/davit/convert"
)

// entry is the path of an entry of a list.
func entry(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

// at is the place of a key that no file has.
func at(key string) convert.Place { return convert.Place{Name: key} }
