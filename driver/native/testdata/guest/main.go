// Guest is what the tests run in containers where a shell cannot do it. It is one static program, known by the name it is
// called by:
//
//	reboot, poweroff   call reboot(2)
//	eat                takes memory until the OOM killer comes
//	bomb               forks without end
//	deaf               handles no signal and waits
package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	switch filepath.Base(os.Args[0]) {
	case "reboot":
		must(syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART))
	case "poweroff":
		must(syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF))
	case "eat":
		eat()
	case "bomb":
		bomb()
	}
	// As process 1 the kernel ends us while we wait.
	time.Sleep(time.Hour)
}

func must(err error) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func eat() {
	var kept [][]byte
	for {
		p := make([]byte, 1<<20)
		for i := 0; i < len(p); i += 4096 {
			p[i] = 1
		}
		kept = append(kept, p)
	}
}

func bomb() {
	for {
		cmd := exec.Command("/proc/self/exe")
		cmd.Args[0] = "bomb"
		if cmd.Start() != nil {
			time.Sleep(time.Millisecond)
		}
	}
}
