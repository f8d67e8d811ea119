package domain

import (
	"fmt"
	"path"
	"strings"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

func (v *validator) devices(d *davitv1.Devices) {
	v.disks(d)
	targets := map[string]int{}
	for i, f := range d.GetFilesystem() {
		v.filesystem(i, f, targets)
	}
	v.interfaces(d.GetInterface())
	v.terminals(d)
	v.hostdevs(d.GetHostdev())
	v.clashes(d)
}

const (
	// maxConsoles is how many consoles and serial ports a domain may have; /dev/tty63 is the kernel's last.
	maxConsoles = 63
	// maxSerialPort is the greatest number of a serial port.
	maxSerialPort = 63
)

// terminals checks consoles and serial ports.
func (v *validator) terminals(d *davitv1.Devices) {
	if n, serials := len(d.GetConsole()), len(d.GetSerial()); n+serials > maxConsoles {
		if serials == 0 {
			v.fault("devices.console", "%d consoles are above %d", n, maxConsoles)
		} else {
			v.fault("devices.serial", "%d consoles and %d serial ports are together above %d", n, serials, maxConsoles)
		}
	}
	logs := map[string]string{}
	ports := map[uint32]int{}
	for i, s := range d.GetSerial() {
		place := func(field string) string { return v.entry("devices.serial", i, field) }
		if port := s.GetTargetPort(); s.TargetPort == nil {
			// It gets a number of its own.
		} else if port > maxSerialPort {
			v.fault(place("target_port"), "%d is above %d, the last serial port", port, maxSerialPort)
		} else if first, ok := taken(ports, port, i); ok {
			v.fault(place("target_port"), "%d is already the number of serial port %d of the list", port, first+1)
		}
		v.terminalLog(place, s, "serial port", i, logs)
	}
	for i, c := range d.GetConsole() {
		place := func(field string) string { return v.entry("devices.console", i, field) }
		if t := c.GetTargetType(); t != "" && t != "lxc" {
			v.fault(place("target_type"), "%s is not lxc, the only kind of consoles", quote(t))
		}
		v.terminalLog(place, c, "console", i, logs)
	}
}

// terminalLog checks the file that a console or serial port is written to; logs are those of others by their paths.
func (v *validator) terminalLog(place func(string) string, t interface {
	GetLogFile() string
	GetLogAppend() bool
}, kind string, i int, logs map[string]string,
) {
	file := t.GetLogFile()
	if file == "" {
		if t.GetLogAppend() {
			v.fault(place("log_append"), "there is no log file that could go on")
		}
		return
	}
	if message := pathFault(file); message != "" {
		v.fault(place("log_file"), "log file %s", message)
		return
	}
	if strings.HasSuffix(file, "/") || strings.HasSuffix(file, "/.") {
		v.fault(place("log_file"), "log file %s is a folder", quote(file))
		return
	}
	clean := path.Clean(file)
	if other, ok := logs[clean]; ok {
		v.fault(place("log_file"), "%s is the log file of %s already", quote(file), other)
		return
	}
	logs[clean] = fmt.Sprintf("%s %d", kind, i+1)
}
