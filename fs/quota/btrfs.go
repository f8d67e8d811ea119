package quota

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's include/uapi/linux/btrfs.h and btrfs_tree.h.
const (
	groupLimit    = 0x8030942b // BTRFS_IOC_QGROUP_LIMIT
	treeSearch    = 0xd0009411 // BTRFS_IOC_TREE_SEARCH
	quotaTree     = 8          // BTRFS_QUOTA_TREE_OBJECTID
	groupInfoKey  = 242        // BTRFS_QGROUP_INFO_KEY
	groupLimitKey = 244        // BTRFS_QGROUP_LIMIT_KEY
	maxReferenced = 1          // BTRFS_QGROUP_LIMIT_MAX_RFER
	inoLookup     = 0xd0009412 // BTRFS_IOC_INO_LOOKUP
	searchHeader  = 32         // the size of struct btrfs_ioctl_search_header
	subvolumeRoot = 256        // BTRFS_FIRST_FREE_OBJECTID
)

// group is a folder of btrfs: a subvolume, if it can have a limit.
type group struct{ dir *os.File }

// limits are struct btrfs_ioctl_qgroup_limit_args; group 0 is that of the subvolume.
type limits struct {
	group, flags                                             uint64
	referenced, exclusive, reservedReferenced, reservedOwned uint64
}

// lookup is struct btrfs_ioctl_ino_lookup_args.
type lookup struct {
	tree, object uint64
	_            [4080]byte
}

// search is struct btrfs_ioctl_search_args.
type search struct {
	tree                           uint64
	minObject, maxObject           uint64
	minOffset, maxOffset           uint64
	minTransaction, maxTransaction uint64
	minType, maxType               uint32
	items, _                       uint32
	_                              [4]uint64
	found                          [3992]byte
}

func (g *group) check() error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(g.dir.Fd()), &stat); err != nil {
		return fmt.Errorf("look at %q: %w", g.dir.Name(), err)
	}
	if stat.Ino != subvolumeRoot {
		return unsupported("btrfs bounds subvolumes, and %q is none: make it one (btrfs subvolume create)", g.dir.Name())
	}
	_, err := g.find(groupInfoKey)
	return err
}

func (g *group) limit(_ context.Context, bytes uint64) error {
	l := limits{flags: maxReferenced, referenced: max(bytes, 1)}
	switch err := ioctl(g.dir, groupLimit, unsafe.Pointer(&l)); {
	case errors.Is(err, unix.ENOTCONN):
		return g.missing()
	case err != nil:
		return fmt.Errorf("limit subvolume %q to %d bytes: %w", g.dir.Name(), bytes, err)
	}
	return nil
}

func (g *group) usage() (Usage, error) {
	info, err := g.find(groupInfoKey)
	if err != nil {
		return Usage{}, err
	}
	limit, err := g.find(groupLimitKey)
	if err != nil {
		return Usage{}, err
	}
	// Before the space that is referenced, or may be, stands which transaction counted it, or which limits there are.
	u := Usage{Used: binary.LittleEndian.Uint64(info[8:])}
	if binary.LittleEndian.Uint64(limit[:])&maxReferenced != 0 {
		u.Limit = binary.LittleEndian.Uint64(limit[8:])
	}
	return u, nil
}

// find reads the first two numbers of an item that the tree of quotas has for the subvolume.
func (g *group) find(key uint32) (item [16]byte, err error) {
	in := lookup{object: subvolumeRoot}
	if err = ioctl(g.dir, inoLookup, unsafe.Pointer(&in)); err != nil {
		return item, fmt.Errorf("find subvolume %q: %w", g.dir.Name(), err)
	}
	s := search{
		tree: quotaTree, minOffset: in.tree, maxOffset: in.tree, maxTransaction: math.MaxUint64, minType: key, maxType: key, items: 1,
	}
	err = ioctl(g.dir, treeSearch, unsafe.Pointer(&s))
	if errors.Is(err, unix.ENOENT) || err == nil && s.items == 0 {
		return item, g.missing()
	}
	if err != nil {
		return item, fmt.Errorf("read quotas of subvolume %q: %w", g.dir.Name(), err)
	}
	copy(item[:], s.found[searchHeader:])
	return item, nil
}

func (g *group) missing() error {
	return unsupported("btrfs, which %q is on, counts nothing: enable its quotas (btrfs quota enable)", g.dir.Name())
}
