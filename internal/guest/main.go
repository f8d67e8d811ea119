// Guest is what tests run in containers: a static program that does what its arguments tell it and says what it sees,
// with system calls of its own and nothing of the image.
//
//	guest COMMAND [ARGUMENT…] [-- COMMAND [ARGUMENT…]]…
//
// Commands that tell something write one line a thing to standard output. A command that fails writes "error: …" and the
// next one runs. At the end of its commands the guest exits with status 0.
package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// commands by name.
var commands = map[string]func(args []string) error{
	"args":    args,
	"bind":    bind,
	"cat":     cat,
	"chown":   chown,
	"fchmod":  chmod,
	"cwd":     cwd,
	"echo":    echo,
	"env":     env,
	"exit":    exit,
	"fds":     fds,
	"flip":    flip,
	"id":      id,
	"keyring": keyring,
	"kill":    kill,
	"ls":      list,
	"mkdir":   mkdir,
	"mount":   mount,
	"mounts":  mounts,
	"node":    node,
	"obey":    obey,
	"open":    open,
	"orphan":  orphan,
	"pause":   pause,
	"read":    read,
	"reboot":  reboot,
	"remount": remount,
	"remove":  remove,
	"sleep":   sleep,
	"spy":     spy,
	"status":  status,
	"tty":     tty,
	"umask":   umask,
	"umount":  umount,
	"unlock":  unlock,
	"write":   write,
}

func main() {
	// One thread keeps what is seen in /proc/self simple.
	runtime.LockOSThread()
	rest := os.Args[1:]
	for len(rest) > 0 {
		words := rest
		rest = nil
		if i := slices.Index(words, "--"); i >= 0 {
			words, rest = words[:i], words[i+1:]
		}
		if len(words) == 0 {
			continue
		}
		command, ok := commands[words[0]]
		if !ok {
			sayf("error: no command %q\n", words[0])
			continue
		}
		if err := command(words[1:]); err != nil {
			sayf("error: %s: %v\n", strings.Join(words, " "), err)
		}
	}
}

// args tells the program's own arguments.
func args([]string) error {
	sayf("args %q\n", os.Args)
	return nil
}

// echo writes its arguments.
func echo(args []string) error {
	say(strings.Join(args, " "))
	return nil
}

// env tells the environment.
func env([]string) error {
	for _, v := range os.Environ() {
		say("env", v)
	}
	return nil
}

// cwd tells the working directory as the kernel knows it.
func cwd([]string) error {
	dir, err := unix.Getwd()
	say("cwd", dir)
	return err
}

// id tells ids and groups.
func id([]string) error {
	groups, err := unix.Getgroups()
	sayf("id %d %d %v pid %d\n", unix.Getuid(), unix.Getgid(), groups, unix.Getpid())
	return err
}

// keyring tells the id of the session keyring.
func keyring([]string) error {
	id, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	say("keyring", id)
	return err
}

// umask tells the umask.
func umask([]string) error {
	sayf("umask %#o\n", unix.Umask(0))
	return nil
}

// exit exits with a status.
func exit(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	os.Exit(n)
	return nil
}

// kill sends a signal to a process: SIGNAL PID.
func kill(args []string) error {
	signal, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return unix.Kill(pid, unix.Signal(signal))
}

// reboot calls reboot(2): restart, halt or poweroff.
func reboot(args []string) error {
	how := map[string]int{
		"restart": unix.LINUX_REBOOT_CMD_RESTART, "halt": unix.LINUX_REBOOT_CMD_HALT, "poweroff": unix.LINUX_REBOOT_CMD_POWER_OFF,
	}
	return unix.Reboot(how[args[0]])
}

// pause waits for ever.
func pause([]string) error {
	for {
		if err := unix.Pause(); err != nil && err != unix.EINTR {
			return err
		}
	}
}

// sleep waits for so many seconds.
func sleep(args []string) error {
	seconds, err := strconv.ParseFloat(args[0], 64)
	if err != nil {
		return err
	}
	<-time.After(time.Duration(seconds * float64(time.Second)))
	return nil
}

// read waits for a line on standard input and tells it.
func read([]string) error {
	var line []byte
	for one := make([]byte, 1); ; {
		n, err := unix.Read(0, one)
		if err != nil || n == 0 || one[0] == '\n' {
			sayf("read %q\n", line)
			return err
		}
		line = append(line, one[0])
	}
}

// orphan leaves a process behind that waits for ever.
func orphan([]string) error {
	self, err := os.StartProcess("/proc/self/exe", []string{"guest", "pause"}, &os.ProcAttr{})
	if err != nil {
		return err
	}
	say("orphan", self.Pid)
	return self.Release()
}

// say writes words as a line.
func say(words ...any) { _, _ = fmt.Fprintln(os.Stdout, words...) }

// sayf writes by a format.
func sayf(format string, args ...any) { _, _ = fmt.Fprintf(os.Stdout, format, args...) }
