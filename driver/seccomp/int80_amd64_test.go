package seccomp_test

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// int80 calls the 32-bit getpid by interrupt, as no compiler for this architecture would, and writes what it gave.
func int80() error {
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	const result = 2048
	text := []byte{0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0x48, 0xa3} // mov eax, 20; int 0x80; mov [result], rax
	text = binary.LittleEndian.AppendUint64(text, uint64(uintptr(unsafe.Pointer(&page[result]))))
	copy(page, append(text, 0xc3)) // ret
	code := unsafe.Pointer(&page[0])
	function := unsafe.Pointer(&code)
	(*(*func())(unsafe.Pointer(&function)))()
	_, err = fmt.Println(binary.LittleEndian.Uint64(page[result:]) == uint64(unix.Getpid()))
	return err
}
