package host

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// Capabilities is libvirt's capabilities document as its LXC driver writes it: the host, and what a domain can be.
func (h *Host) Capabilities() (string, error) {
	f, err := h.facts()
	if err != nil {
		return "", fmt.Errorf("describe capabilities: %w", err)
	}
	var d document
	d.WriteString("<capabilities>\n\n")
	d.depth++
	d.element("host", nil, func() { f.host(&d) })
	d.WriteString("\n")
	for _, arch := range f.guests {
		d.element("guest", nil, func() {
			d.text("os_type", "exe")
			d.element("arch", []attr{{"name", arch.name}}, func() {
				d.text("wordsize", arch.wordsize)
				d.text("emulator", domain.Emulator)
				d.empty("domain", attr{"type", "lxc"})
			})
		})
		d.WriteString("\n")
	}
	d.WriteString("</capabilities>\n")
	return d.String(), nil
}

// facts are what the document tells.
type facts struct {
	uuid   string
	arch   string
	sleeps []string
	iommu  bool
	cells  []cellFacts
	caches []cache
	guests []guest
}

// guest is an architecture that a domain can have.
type guest struct{ name, wordsize string }

// cellFacts is a cell, with all that the document tells of it.
type cellFacts struct {
	cell
	memory     *davitv1.HostMemory
	pages      []*davitv1.PagePool
	distances  []string
	processors []processor
}

func (h *Host) facts() (*facts, error) {
	f := &facts{uuid: h.uuid(), arch: h.arch, sleeps: h.sleeps(), guests: h.guests()}
	entries, err := os.ReadDir(h.path("sys/kernel/iommu_groups"))
	f.iommu = err == nil && len(entries) > 0
	cells, err := h.cells()
	if err != nil {
		return nil, err
	}
	processors, err := h.processorsIn(cells)
	if err != nil {
		return nil, err
	}
	for i, c := range cells {
		of := cellFacts{cell: c, processors: processors[i]}
		if of.memory, err = h.memory(c); err != nil {
			return nil, err
		}
		if of.pages, err = h.pages(c, of.memory); err != nil {
			return nil, err
		}
		if c.dir != "" {
			text, _ := h.text(c.dir + "/distance") // not every kernel tells
			of.distances = strings.Fields(text)
		}
		f.cells = append(f.cells, of)
	}
	f.caches, err = h.caches(cells)
	return f, err
}

// uuid is the host's identity: what systemd gave it. The one of the firmware, which libvirt prefers, is shown to root only.
func (h *Host) uuid() string {
	text, err := h.text("etc/machine-id")
	if err != nil || len(text) != 32 {
		return ""
	}
	uuid, err := domain.ParseUUID(text)
	if err != nil {
		return ""
	}
	return uuid
}

// sleeps are libvirt's words for the ways in which the host can be suspended.
func (h *Host) sleeps() []string {
	state, _ := h.text("sys/power/state")
	disk, _ := h.text("sys/power/disk")
	var list []string
	mem, toDisk := slices.Contains(strings.Fields(state), "mem"), slices.Contains(strings.Fields(state), "disk")
	if mem {
		list = append(list, "suspend_mem")
	}
	if toDisk {
		list = append(list, "suspend_disk")
	}
	if mem && toDisk && slices.Contains(strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(disk)), "suspend") {
		list = append(list, "suspend_hybrid")
	}
	return list
}

// guests are the architectures of programs that the kernel runs.
func (h *Host) guests() []guest {
	if h.arch != "x86_64" {
		return []guest{{h.arch, wordsize(h.arch)}}
	}
	list := []guest{{h.arch, "64"}}
	// The file is there in kernels that were built to run them; since 6.7 an argument of the kernel can forbid it.
	arguments, _ := h.text("proc/cmdline")
	off := slices.ContainsFunc(strings.Fields(arguments), func(word string) bool {
		value, ok := strings.CutPrefix(word, "ia32_emulation=")
		return ok && slices.Contains([]string{"0", "off", "n", "N", "no", "false"}, value)
	})
	if h.has("proc/sys/abi/vsyscall32") && !off {
		list = append(list, guest{"i686", "32"})
	}
	return list
}

func wordsize(arch string) string {
	if slices.Contains([]string{"i686", "arm", "mips", "mipsle"}, arch) {
		return "32"
	}
	return "64"
}

func (f *facts) host(d *document) {
	if f.uuid != "" {
		d.text("uuid", f.uuid)
	}
	d.element("cpu", nil, func() {
		d.text("arch", f.arch)
		for _, p := range f.cells[0].pages {
			d.empty("pages", attr{"unit", "KiB"}, number("size", p.GetPageKib()))
		}
	})
	d.element("power_management", nil, func() {
		for _, s := range f.sleeps {
			d.empty(s)
		}
	})
	support := "no"
	if f.iommu {
		support = "yes"
	}
	d.empty("iommu", attr{"support", support})
	d.element("topology", nil, func() {
		d.element("cells", []attr{number("num", len(f.cells))}, func() {
			for _, c := range f.cells {
				f.cell(d, c)
			}
		})
	})
	if len(f.caches) > 0 {
		d.element("cache", nil, func() {
			for _, c := range f.caches {
				c.write(d)
			}
		})
	}
	// davit confines by namespaces and capabilities, which are no model of labels.
	d.element("secmodel", nil, func() {
		d.text("model", "none")
		d.text("doi", "0")
	})
}

func (f *facts) cell(d *document, c cellFacts) {
	d.element("cell", []attr{number("id", c.id)}, func() {
		d.text("memory", fmt.Sprint(c.memory.GetTotalKib()), attr{"unit", "KiB"})
		for _, p := range c.pages {
			d.text("pages", fmt.Sprint(p.GetCount()), attr{"unit", "KiB"}, number("size", p.GetPageKib()))
		}
		if len(c.distances) == len(f.cells) {
			d.element("distances", nil, func() {
				for i, value := range c.distances {
					d.empty("sibling", number("id", f.cells[i].id), attr{"value", value})
				}
			})
		}
		d.element("cpus", []attr{number("num", len(c.processors))}, func() {
			for _, p := range c.processors {
				d.empty("cpu", p.attrs()...)
			}
		})
	})
}

// attrs are those of a processor's element: where it is, if that is known.
func (p processor) attrs() []attr {
	list := []attr{number("id", p.id)}
	if !p.placed {
		return list
	}
	return append(list, number("socket_id", p.socket), number("die_id", p.die), number("core_id", p.core),
		attr{"siblings", formatList(p.siblings)})
}
