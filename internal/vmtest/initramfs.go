package main

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// earlyModules are what the guest needs before it sees the host's root and with it all other modules.
var earlyModules = []string{"virtio_pci", "virtio_console", "virtio_blk", "virtiofs", "overlay", "ext4"}

// moduleFolder and configFile are where the initramfs has things.
const (
	moduleFolder = "modules"
	configFile   = "vmtest.json"
)

// writeInitramfs makes the guest's first root: this very program as init, the modules that it loads, and what it is to do.
func writeInitramfs(path string, k kernel, g *guestConfig) (err error) {
	self, err := staticSelf()
	if err != nil {
		return err
	}
	config, err := json.Marshal(g)
	if err != nil {
		return err
	}
	files, err := k.moduleFiles(earlyModules...)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	a := &archive{w: &out}
	for _, dir := range []string{"proc", "sys", "dev", "host", "rw", "root", moduleFolder} {
		a.add(dir, 0o040755, nil)
	}
	a.add("init", 0o100755, self)
	a.add(configFile, 0o100600, config)
	for i, file := range files {
		text, err := readModule(file)
		if err != nil {
			return err
		}
		a.add(fmt.Sprintf("%s/%03d-%s.ko", moduleFolder, i, moduleName(file)), 0o100600, text)
	}
	a.add("TRAILER!!!", 0, nil)
	if a.err != nil {
		return a.err
	}
	return os.WriteFile(path, out.Bytes(), 0o600)
}

// staticSelf reads this program, which must need no libraries where it is init.
func staticSelf() ([]byte, error) {
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	file, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("this program is not static: build it with CGO_ENABLED=0")
		}
	}
	return text, nil
}

// readModule reads a module, unpacked.
func readModule(path string) ([]byte, error) {
	if !strings.HasSuffix(path, ".xz") {
		return os.ReadFile(path)
	}
	text, err := exec.Command("xz", "-dc", path).Output()
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", filepath.Base(path), err)
	}
	return text, nil
}

// archive writes cpio's "newc" form, which the kernel unpacks.
type archive struct {
	w    io.Writer
	next int
	err  error
}

// add adds one entry.
func (a *archive) add(name string, mode uint32, text []byte) {
	a.next++
	head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.next, mode, 0, 0, 1, 0, len(text), 0, 0, 0, 0, len(name)+1, 0)
	a.write([]byte(head + name + "\x00"))
	a.write(text)
}

// write writes and fills up to four bytes.
func (a *archive) write(p []byte) {
	if a.err == nil {
		_, a.err = a.w.Write(append(p, make([]byte, (4-len(p)%4)%4)...))
	}
}
