package native

import monitorv1 "github.com/davitd/davit/proto/davit/monitor/v1"

// StepHook is called before each step of a start.
func (d *Driver) StepHook(f func(operation string) error) { d.hooks.step = f }

// PlanHook changes what the monitor is given.
func (d *Driver) PlanHook(f func(*monitorv1.Plan)) { d.hooks.plan = f }

// DevHook has clocks looked for in a folder.
func (d *Driver) DevHook(dir string) { d.hooks.dev = dir }

// USBHook has USB devices looked for in a folder.
func (d *Driver) USBHook(dir string) { d.hooks.usb = dir }

// Steps are the names of a start's steps.
var Steps = []string{
	"write record", "open devices", "take host ids", "make folders of overlays", "limit folders", "make cgroup", "start monitor",
	"make container", "freeze container", "complete record",
}

// GuestNames are the names of interfaces inside.
var GuestNames = guestNames
