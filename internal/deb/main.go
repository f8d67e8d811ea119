// Command deb makes a Debian package from a tree of installed files, such as make install DESTDIR=tree PREFIX=/usr leaves.
//
//	go run ./internal/deb -tree TREE -version 1.2 -arch amd64 -o .
//
// It needs neither root nor Debian's tools: a package is an ar archive of two tar archives, and whose the files are is
// written into these. The same tree and date make the same package, byte for byte; modes are 0755 for folders and programs
// and 0644 for the rest, the owner is root, the date that of SOURCE_DATE_EPOCH.
//
// What a package has beside the tree is in the folder debian: control file, maintainer scripts, copyright, changelog, the
// configuration file, and what lintian is told.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "deb:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("deb", flag.ContinueOnError)
	var p pack
	tree := flags.String("tree", "", "`folder` with the installed files")
	flags.StringVar(&p.Version, "version", "", "version as git describe gives it, or as Debian has it")
	flags.StringVar(&p.Arch, "arch", "amd64", "Debian's word for the architecture")
	out := flags.String("o", "", "`file` to write, or the folder of davit_VERSION_ARCH.deb")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *tree == "" || *out == "" {
		return errors.New("read arguments: -tree and -o are needed")
	}
	var err error
	if p.Time, err = date(); err != nil {
		return err
	}
	if p.Version, err = debianVersion(p.Version, p.Time); err != nil {
		return err
	}
	if err = p.collect(os.DirFS(*tree)); err != nil {
		return err
	}
	if info, absent := os.Stat(*out); absent == nil && info.IsDir() {
		*out = filepath.Join(*out, fmt.Sprintf("davit_%s_%s.deb", p.Version, p.Arch))
	}
	if err = p.write(*out); err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdout, *out)
	return err
}

// date is what all files of the package are dated.
func date() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	sec, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("read SOURCE_DATE_EPOCH %q: must be seconds since 1970", text)
	}
	return time.Unix(sec, 0).UTC(), nil
}
