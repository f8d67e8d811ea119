package fs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrUnknown tells that content is none of the filesystems that are known.
var ErrUnknown = errors.New("no filesystem that is known: ext2, ext3, ext4, xfs, btrfs, erofs or squashfs")

// Probe tells which filesystem a device or image holds, in the kernel's word, from its superblock. It reads a few kilobytes at
// fixed places and believes nothing else: whatever is mounted, the kernel reads it anew. Content that passes for several
// is refused, as it could be made to be taken for one by us and for another by the kernel.
func Probe(r io.ReaderAt) (string, error) {
	var found []string
	for _, p := range superblocks {
		b := make([]byte, p.size)
		n, err := r.ReadAt(b, p.offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("probe filesystem: %w", err)
		}
		if n < len(b) {
			continue // the content ends before
		}
		if name := p.is(b); name != "" {
			found = append(found, name)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("probe filesystem: %w", ErrUnknown)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("probe filesystem: the content passes for %s", strings.Join(found, " and "))
}

// superblocks are where filesystems tell what they are.
var superblocks = []struct {
	offset int64
	size   int
	is     func([]byte) string // the filesystem's name, or empty
}{
	{0, 4, magic("xfs", "XFSB")},
	{0, 4, magic("squashfs", "hsqs")},
	{1024, 4, magic("erofs", "\xe2\xe1\xf5\xe0")},
	{0x10040, 8, magic("btrfs", "_BHRfS_M")},
	{1024, 0x68, ext},
}

func magic(name, word string) func([]byte) string {
	return func(b []byte) string {
		if bytes.Equal(b, []byte(word)) {
			return name
		}
		return ""
	}
}

// Features of the ext family that tell its members apart (the kernel's fs/ext4/ext4.h).
const (
	extJournal      = 0x4    // compatible: has_journal
	extIncompatible = 0x2c0  // extents, 64bit, flex_bg: ext4 only
	extReadOnly     = 0x2478 // huge_file, gdt_csum, dir_nlink, extra_isize, metadata_csum, project: ext4 only
)

func ext(b []byte) string {
	le := binary.LittleEndian
	switch {
	case le.Uint16(b[0x38:]) != 0xef53:
		return ""
	case le.Uint32(b[0x60:])&extIncompatible != 0, le.Uint32(b[0x64:])&extReadOnly != 0:
		return "ext4"
	case le.Uint32(b[0x5c:])&extJournal != 0:
		return "ext3"
	}
	return "ext2"
}
