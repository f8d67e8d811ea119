package main

import (
	"bytes"
	"compress/gzip"
	"crypto/md5" //nolint:gosec // dpkg's list of sums is MD5; it finds damage, not forgery
	"embed"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/template"
	"time"
)

// debian is what a package has beside the tree.
//
//go:embed debian
var debian embed.FS

// doc is the folder of the package's documents.
const doc = "usr/share/doc/davit/"

// pack is a package in the making.
type pack struct {
	Version, Arch string
	Time          time.Time
	Size          int64 // in KiB, for the control file

	files map[string]file // by path without a leading slash
}

// file is one of the package's.
type file struct {
	data   []byte
	mode   fs.FileMode
	target string // of a symbolic link
}

// collect takes the files of the tree and adds Debian's own.
func (p *pack) collect(tree fs.FS) error {
	p.files = map[string]file{}
	if err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return p.add(tree, name)
	}); err != nil {
		return fmt.Errorf("collect files: %w", err)
	}
	for name, from := range map[string]string{
		doc + "copyright": "copyright", "etc/davit/davitd.toml": "davitd.toml",
		"usr/share/lintian/overrides/davit": "lintian-overrides",
	} {
		data, err := debian.ReadFile("debian/" + from)
		if err != nil {
			return err
		}
		if len(data) > 0 {
			p.files[name] = file{data: data, mode: 0o644}
		}
	}
	changelog, err := p.fill("changelog")
	if err != nil {
		return err
	}
	p.files[doc+"changelog.Debian.gz"] = file{data: zip(changelog), mode: 0o644}
	for _, f := range p.files {
		p.Size += (int64(len(f.data)) + 1023) / 1024
	}
	return nil
}

// add takes a file of the tree. Manual pages and the changelog are compressed, as Debian wants them, and the licence is left
// out, which Debian has once for all.
func (p *pack) add(tree fs.FS, name string) error {
	info, err := fs.Lstat(tree, name)
	if err != nil {
		return err
	}
	if info.Mode().Type() == fs.ModeSymlink {
		f := file{mode: 0o777}
		f.target, err = fs.ReadLink(tree, name)
		p.files[name] = f
		return err
	}
	data, err := fs.ReadFile(tree, name)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	switch {
	case name == doc+"LICENSE":
		return nil
	case name == doc+"CHANGELOG.md":
		name, data = doc+"changelog.gz", zip(data)
	case strings.HasPrefix(name, "usr/share/man/"):
		name, data = name+".gz", zip(data)
	}
	p.files[name] = file{data: data, mode: mode}
	return nil
}

// fill fills a template in.
func (p *pack) fill(name string) ([]byte, error) {
	t, err := template.ParseFS(debian, "debian/"+name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, p)
	return b.Bytes(), err
}

// Date is the time in the form of a changelog.
func (p *pack) Date() string { return p.Time.Format("Mon, 02 Jan 2006 15:04:05 -0700") }

// control are the files that dpkg itself reads.
func (p *pack) control() (map[string]file, error) {
	control, err := p.fill("control")
	if err != nil {
		return nil, err
	}
	var sums, conffiles strings.Builder
	for _, name := range slices.Sorted(keys(p.files)) {
		if strings.HasPrefix(name, "etc/") {
			conffiles.WriteString("/" + name + "\n")
			continue
		}
		if f := p.files[name]; f.target == "" {
			fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(f.data), name) //nolint:gosec // see the import
		}
	}
	files := map[string]file{
		"control":   {data: control, mode: 0o644},
		"md5sums":   {data: []byte(sums.String()), mode: 0o644},
		"conffiles": {data: []byte(conffiles.String()), mode: 0o644},
	}
	for _, name := range []string{"postinst", "prerm", "postrm"} {
		data, err := debian.ReadFile("debian/" + name)
		if err != nil {
			return nil, err
		}
		files[name] = file{data: data, mode: 0o755}
	}
	return files, nil
}

// write writes the package.
func (p *pack) write(to string) error {
	control, err := p.control()
	if err != nil {
		return fmt.Errorf("make package: %w", err)
	}
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	p.member(&b, "debian-binary", []byte("2.0\n"))
	for _, archive := range []struct {
		name  string
		files map[string]file
	}{{"control.tar.gz", control}, {"data.tar.gz", p.files}} {
		data, err := pile(archive.files, p.Time)
		if err != nil {
			return fmt.Errorf("make package: %w", err)
		}
		p.member(&b, archive.name, zip(data))
	}
	return os.WriteFile(to, b.Bytes(), 0o644) //nolint:gosec // a package is for all to read
}

// member adds a member to an ar archive (ar(5)).
func (p *pack) member(b *bytes.Buffer, name string, data []byte) {
	fmt.Fprintf(b, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", name, p.Time.Unix(), 0, 0, 0o100644, len(data))
	b.Write(data)
	if len(data)%2 == 1 {
		b.WriteByte('\n')
	}
}

// zip compresses, without a date or a name.
func zip(data []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is one
	_, _ = w.Write(data)                                  // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}
