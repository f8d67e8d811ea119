package quota

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What package unix does not have: the kernel's include/uapi/linux/fs.h, quota.h and dqblk_xfs.h.
const (
	getAttributes = 0x801c581f // FS_IOC_FSGETXATTR
	setAttributes = 0x401c5820 // FS_IOC_FSSETXATTR
	inherit       = 0x200      // FS_XFLAG_PROJINHERIT

	projects   = 2 // PRJQUOTA
	getQuota   = 0x800007<<8 | projects
	setQuota   = 0x800008<<8 | projects
	getState   = 0x5805<<8 | projects // Q_XGETQSTAT
	enforced   = 0x20                 // FS_QUOTA_PDQ_ENFD
	blockLimit = 1                    // QIF_BLIMITS
	quotaBlock = 1024                 // QIF_DQBLKSIZE
)

// attributes are struct fsxattr.
type attributes struct {
	flags, extent, extents, project, cowExtent uint32
	_                                          [8]byte
}

// quotas are struct if_dqblk: limits in units of quotaBlock, space in bytes.
type quotas struct {
	hard, soft, space           uint64
	inodeHard, inodeSoft, inode uint64
	blockTime, inodeTime        uint64
	valid, _                    uint32
}

// state is struct fs_quota_stat.
type state struct {
	_     int8
	flags uint16
	_     [76]byte
}

func ioctl(file *os.File, request uintptr, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), request, uintptr(arg))
	if errno != 0 {
		return errno
	}
	return nil
}

func quotactl(file *os.File, command uintptr, id uint32, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, file.Fd(), command, uintptr(id), uintptr(arg), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
