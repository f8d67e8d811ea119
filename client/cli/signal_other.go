//go:build !unix

package cli

import "os"

// sizeChanges never tells: the system has no signal for it.
func sizeChanges() (<-chan os.Signal, func()) { return nil, func() {} }

// forwarded are the signals that exec hands on to its command, with their names.
func forwarded() map[os.Signal]string { return map[os.Signal]string{os.Interrupt: "INT"} }
