package host

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Kernel is the release of the running kernel.
func Kernel() (string, error) {
	name, err := uname()
	if err != nil {
		return "", err
	}
	return unix.ByteSliceToString(name.Release[:]), nil
}

func uname() (unix.Utsname, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return name, fmt.Errorf("ask for the kernel's name: %w", err)
	}
	return name, nil
}

// Architecture is the host's, in libvirt's word.
func Architecture() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	case "386":
		return "i686"
	}
	return runtime.GOARCH
}

// Describe tells about the host, all but its cgroups.
func (h *Host) Describe() (*davitv1.GetHostResponse, error) {
	name, err := uname()
	if err != nil {
		return nil, err
	}
	d := &davitv1.GetHostResponse{
		Hostname: unix.ByteSliceToString(name.Nodename[:]), Arch: unix.ByteSliceToString(name.Machine[:]),
	}
	if err := h.describe(d); err != nil {
		return nil, fmt.Errorf("describe host: %w", err)
	}
	return d, nil
}

func (h *Host) describe(d *davitv1.GetHostResponse) error {
	present, err := h.present()
	if err != nil {
		return err
	}
	online, err := h.online()
	if err != nil {
		return err
	}
	cells, err := h.cells()
	if err != nil {
		return err
	}
	processors, err := h.processorsIn(cells)
	if err != nil {
		return err
	}
	memory, err := h.memory(cell{})
	if err != nil {
		return err
	}
	if d.CpuModel, d.CpuMhz, err = h.cpuInfo(); err != nil {
		return err
	}
	t := topologyOf(processors, len(present))
	d.CpuSockets, d.CpuCores, d.CpuThreads = uint32(t.sockets), uint32(t.cores), uint32(t.threads)
	d.Cpus, d.CpusPresent, d.CpusOnline = uint32(len(online)), uint32(len(present)), formatList(online)
	d.Cells, d.MemoryBytes = uint32(len(cells)), memory.GetTotalKib()<<10
	return nil
}
