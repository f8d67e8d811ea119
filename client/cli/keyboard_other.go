//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package cli

import "io"

// takeKeyboard reads the terminal as it is: a read that waits for a key cannot be called off here.
func takeKeyboard(in io.Reader) (keys io.Reader, letGo func()) { return in, func() {} }
