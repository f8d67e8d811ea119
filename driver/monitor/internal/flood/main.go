// Flood is what a test runs in a container to fill its console: it writes as many MiB as its argument says, and then, on a
// line of its own, what comes after them.
package main

import (
	"os"
	"strconv"
)

func main() {
	size, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	block := make([]byte, 64<<10)
	for i := range block {
		block[i] = byte('a' + i%26)
	}
	for range size << 4 {
		if _, err := os.Stdout.Write(block); err != nil {
			panic(err)
		}
	}
	if _, err := os.Stdout.WriteString("\nflooded\n"); err != nil {
		panic(err)
	}
}
