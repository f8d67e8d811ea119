//go:build unix

package cli

import (
	"os"
	"os/signal"
	"syscall"
)

// sizeChanges tells when the terminal changes its size.
func sizeChanges() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGWINCH)
	return c, func() { signal.Stop(c) }
}

// forwarded are the signals that exec hands on to its command, with their names: numbers differ between systems.
func forwarded() map[os.Signal]string {
	return map[os.Signal]string{
		syscall.SIGINT: "INT", syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP", syscall.SIGQUIT: "QUIT",
		syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2", syscall.SIGALRM: "ALRM",
	}
}
