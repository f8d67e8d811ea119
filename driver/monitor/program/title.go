package program

import (
	"fmt"
	"os"
	"unsafe"
)

// Retitle overwrites the arguments that the program was started with, which ps and /proc/PID/cmdline show, by others of
// the same lengths. The strings of os.Args are the process's own memory of them; whoever read them before sees the new
// ones too.
func Retitle(args ...string) error {
	if len(args) != len(os.Args) {
		return fmt.Errorf("set arguments: there are %d, and %d were given", len(os.Args), len(args))
	}
	for i, arg := range args {
		if len(arg) != len(os.Args[i]) {
			return fmt.Errorf("set argument %d: %q has %d bytes, the one before has %d", i, arg, len(arg), len(os.Args[i]))
		}
	}
	for i, arg := range args {
		copy(unsafe.Slice(unsafe.StringData(os.Args[i]), len(arg)), arg)
	}
	return nil
}
