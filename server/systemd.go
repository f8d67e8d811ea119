package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Names of the sockets that systemd may hand over: FileDescriptorName= of the socket units, or their own names.
var activated = map[string]string{
	"admin":               AdminSocket,
	"davitd.socket":       AdminSocket,
	"read-only":           ReadOnlySocket,
	"davitd-ro.socket":    ReadOnlySocket,
	"davitd-admin.socket": RootSocket,
}

// Activation takes the sockets that systemd listened on for this process (sd_listen_fds(3)), by the names that they
// have in the run folder. It is called once, before anything else opens descriptors, and clears the variables.
func Activation() (map[string]net.Listener, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name)
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > len(activated) {
		return nil, fmt.Errorf("take sockets of systemd: LISTEN_FDS is %q", count)
	}
	const first = 3
	sockets := make(map[string]net.Listener, n)
	for i, name := range strings.SplitN(names, ":", n) {
		unix.CloseOnExec(first + i)
		as, ok := activated[name]
		if !ok || sockets[as] != nil {
			return nil, fmt.Errorf("take sockets of systemd: name %q is not known, or not the only one of its kind", name)
		}
		file := os.NewFile(uintptr(first+i), name)
		l, err := net.FileListener(file)
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, fmt.Errorf("take socket %q of systemd: %w", name, err)
		}
		if _, ok := l.(*net.UnixListener); !ok {
			return nil, fmt.Errorf("take socket %q of systemd: it is %s, not unix", name, l.Addr().Network())
		}
		sockets[as] = l
	}
	return sockets, nil
}

// Reloading does what is to be done when systemd has the daemon read its configuration again, and tells systemd when it begins
// and when it is over (systemd.service(5), notify-reload). systemd knows no reload that came to nothing: that there was a fault stands in
// the unit's status, which every user of the host may read and which therefore does not say what it is.
func Reloading(reload func() error) error {
	var now unix.Timespec
	begun := "RELOADING=1"
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	if err == nil {
		begun += "\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10)
	}
	err = errors.Join(err, Notify(begun))
	status := "The configuration is read again"
	if reload() != nil {
		status = "The configuration has a fault and is NOT read again; davitd --check tells it"
	}
	return errors.Join(err, Notify("READY=1\nSTATUS="+status))
}

// Notify tells systemd how the daemon is (sd_notify(3)): "READY=1", "STOPPING=1". Without systemd it does nothing.
func Notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"}) // "@" is an abstract one
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
