// Package program runs the monitor's program, which is the keeper's too, from memory that nobody can change.
//
// [Sealed] copies the program once into a sealed memfd, which all monitors share; a container that reached its
// supervisor's /proc/PID/exe could not write to it, and an upgrade of the file on disk does not touch what runs.
// [Start] runs it with the descriptors that it is to have and nothing else, in a session of its own.
package program

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// seals leave nothing about the program that could be changed.
	seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	// sealExec keeps the mode; kernels from 6.3 know it.
	sealExec = 0x20
)

// Sealed copies a program into memory and seals it. Where the system forbids programs in memory (vm.memfd_noexec=2) it
// gives the file itself, with sealed false: it works as well, but is only as safe as the file.
func Sealed(path string) (program *os.File, sealed bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, false, fmt.Errorf("read program: %w", err)
	}
	memory, err := newMemory()
	if errors.Is(err, unix.EACCES) {
		return file, false, nil
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err != nil {
		return nil, false, fmt.Errorf("make memory for program: %w", err)
	}
	defer func() { err = errors.Join(err, memory.Close()) }()
	if _, err = io.Copy(memory, file); err != nil {
		return nil, false, fmt.Errorf("copy program %q: %w", path, err)
	}
	if err = seal(memory); err != nil {
		return nil, false, fmt.Errorf("seal program: %w", err)
	}
	// The kernel runs nothing that is open for writing, sealed or not.
	program, err = os.Open("/proc/self/fd/" + strconv.Itoa(int(memory.Fd())))
	if err != nil {
		return nil, false, fmt.Errorf("open sealed program: %w", err)
	}
	return program, true, nil
}

// newMemory makes a memfd that may hold a program. EACCES tells that the system forbids it.
func newMemory() (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("davit-monitor", flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before 6.3 every memfd may hold a program
		fd, err = unix.MemfdCreate("davit-monitor", flags)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "davit-monitor"), nil
}

// seal seals a memfd.
func seal(memory *os.File) error {
	if err := memory.Chmod(0o555); err != nil {
		return err
	}
	fd := memory.Fd()
	_, err := unix.FcntlInt(fd, unix.F_ADD_SEALS, seals|sealExec)
	if errors.Is(err, unix.EINVAL) {
		_, err = unix.FcntlInt(fd, unix.F_ADD_SEALS, seals)
	}
	return err
}
