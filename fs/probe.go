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
// is refused, as it could be made to be taken for one by us and for another by the kernel; so is what names other devices that the
// kernel would open: a journal elsewhere, and devices or seeds of one filesystem.
func Probe(r io.ReaderAt) (string, error) {
	var found []string
	spread := ""
	for _, p := range superblocks() {
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
			if p.spread != nil {
				spread = p.spread(b)
			}
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("probe filesystem: %w", ErrUnknown)
	case 1:
		if spread != "" {
			return "", fmt.Errorf("probe filesystem: the %s is not complete in itself: %s", found[0], spread)
		}
		return found[0], nil
	}
	return "", fmt.Errorf("probe filesystem: the content passes for %s", strings.Join(found, " and "))
}

// superblock is where a filesystem tells what it is.
type superblock struct {
	offset int64
	size   int
	is     func([]byte) string // the filesystem's name, or empty
	spread func([]byte) string // which other devices it names, or empty
}

// superblocks are those that are known.
func superblocks() []superblock {
	return []superblock{
		{0, 4, magic("xfs", "XFSB"), nil},
		{0, 4, magic("squashfs", "hsqs"), nil},
		{1024, 4, magic("erofs", "\xe2\xe1\xf5\xe0"), nil},
		{btrfsSuper, 0xc4, magicAt("btrfs", "_BHRfS_M", 0x40), btrfsSpread},
		{1024, 0xe8, ext, extSpread},
	}
}

// btrfsSuper is where the superblock of btrfs is.
const btrfsSuper = 0x10000

// btrfsSpread tells that a btrfs has several devices, or is the seed of one that has (struct btrfs_super_block).
func btrfsSpread(b []byte) string {
	const devices, flags, seeding = 0x88, 0x38, 1 << 32
	if n := binary.LittleEndian.Uint64(b[devices:]); n > 1 {
		return fmt.Sprintf("it has %d devices", n)
	}
	if binary.LittleEndian.Uint64(b[flags:])&seeding != 0 {
		return "it is a seed of others"
	}
	return ""
}

// extSpread tells that the journal of an ext3 or ext4 is on another device, or that it is such a journal itself (struct
// ext4_super_block).
func extSpread(b []byte) string {
	const journalInode, journalDevice = 0xe0, 0xe4
	le := binary.LittleEndian
	journal := le.Uint32(b[0x5c:])&extJournal != 0
	switch {
	case le.Uint32(b[0x60:])&extJournalDevice != 0:
		return "it is the journal of another"
	case journal && (le.Uint32(b[journalInode:]) == 0 || le.Uint32(b[journalDevice:]) != 0):
		return "its journal is on another device"
	}
	return ""
}

func magic(name, word string) func([]byte) string { return magicAt(name, word, 0) }

func magicAt(name, word string, at int) func([]byte) string {
	return func(b []byte) string {
		if bytes.HasPrefix(b[at:], []byte(word)) {
			return name
		}
		return ""
	}
}

// Features of the ext family that tell its members apart (the kernel's fs/ext4/ext4.h).
const (
	extJournal       = 0x4    // compatible: has_journal
	extJournalDevice = 0x8    // incompatible: journal_dev
	extIncompatible  = 0x2c0  // extents, 64bit, flex_bg: ext4 only
	extReadOnly      = 0x2478 // huge_file, gdt_csum, dir_nlink, extra_isize, metadata_csum, project: ext4 only
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
