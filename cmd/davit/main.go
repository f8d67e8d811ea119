// Command davit is the command line of davitd, in virsh's words. See package cli.
package main

import (
	"os"

	"github.com/davitd/davit/client/cli"
)

// version is set by the linker.
var version = "unknown"

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.IO{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Version: version,
	}))
}
