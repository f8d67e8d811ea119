package lxctools

import (
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// maxConsoles is how many terminals a domain may have.
const maxConsoles = 63

func terminalKeys() []Key {
	return []Key{
		{Name: "lxc.tty.max", Old: "lxc.tty", Becomes: "as many consoles", read: (*reading).consoles},
		{Name: "lxc.tty.dir", Old: "lxc.devttydir", Why: "terminals of a domain are /dev/tty1 and so on"},
		{Name: "lxc.pty.max", Old: "lxc.pts", Why: "a domain has a devpts of its own, without a limit"},
		{Name: "lxc.console.path", Old: "lxc.console", Why: "the console of a domain is reached through davit console"},
		{Name: "lxc.console.logfile", Why: "davit keeps what consoles say itself: see davit logs"},
		{Name: "lxc.console.*", Why: "davit keeps what consoles say itself: see davit logs"},
	}
}

func (r *reading) consoles(list []setting) {
	n, ok := r.number(list[0], list[0].value, maxConsoles)
	for i := uint32(0); ok && i < uint32(n); i++ {
		r.def.Devices.Console = append(r.def.Devices.Console, &davitv1.Console{TargetPort: &i})
	}
	r.from("devices.console", list[0])
}

// otherKeys are those of how containers are kept, which davit does in its own way.
func otherKeys() []Key {
	hook := "nothing of the host is run with a domain's life; watch its events"
	return []Key{
		{Name: "lxc.include", List: true, Becomes: "the settings of the file, or of the .conf files of the folder, in its place"},
		{Name: "lxc.autodev", Becomes: "nothing for 1: every domain has its own /dev", Why: "a domain without its own /dev is not possible", read: (*reading).autodev},
		{Name: "lxc.autodev.tmpfs.size", Why: "the size of /dev is davit's"},
		{Name: "lxc.kmsg", Becomes: "nothing for 0", Why: "domains have no /dev/kmsg; LXC itself ignores it since 2.1", read: (*reading).kmsg},
		{Name: "lxc.start.auto", Becomes: "nothing for 0", Why: "a definition does not say it: davit autostart does", read: (*reading).autostart},
		{Name: "lxc.start.delay", Why: "domains are started one after the other without a delay"},
		{Name: "lxc.start.order", Why: "domains are started in no order"},
		{Name: "lxc.group", List: true, Why: "domains have no groups"},
		{Name: "lxc.ephemeral", Becomes: "nothing for 0", Why: "davit create makes a domain that is gone when it stops", read: (*reading).ephemeral},
		{Name: "lxc.signal.halt", Old: "lxc.haltsignal", Why: "the signal of davit shutdown follows from init"},
		{Name: "lxc.signal.reboot", Old: "lxc.rebootsignal", Why: "the signal of davit reboot follows from init"},
		{Name: "lxc.signal.stop", Old: "lxc.stopsignal", Why: "davit destroy kills"},
		{Name: "lxc.hook.*", List: true, Why: hook},
		{Name: "lxc.hook", List: true, Why: hook},
		{Name: "lxc.log.file", Old: "lxc.logfile", Why: "davit keeps logs itself: see davit logs"},
		{Name: "lxc.log.level", Old: "lxc.loglevel", Why: "davit keeps logs itself"},
		{Name: "lxc.log.syslog", Old: "lxc.syslog", Why: "davit keeps logs itself"},
		{Name: "lxc.monitor.unshare", Why: "monitors of domains are davit's own"},
		{Name: "lxc.monitor.signal.pdeath", Why: "monitors of domains are davit's own"},
		{Name: "lxc.time.offset.*", Why: "domains have the host's clock"},
		{Name: "lxc.sched.core", Why: "definitions have no core scheduling"},
	}
}

func (r *reading) autodev(list []setting) {
	if on, ok := r.flag(list[0]); ok && !on {
		r.warn(list[0], "a domain without its own /dev is not possible")
	}
}

func (r *reading) kmsg(list []setting) {
	if on, ok := r.flag(list[0]); ok && on {
		r.warn(list[0], "domains have no /dev/kmsg")
	}
}

func (r *reading) autostart(list []setting) {
	if on, ok := r.flag(list[0]); ok && on {
		r.warn(list[0], "a definition does not say that a domain starts by itself: davit autostart %s does", r.def.Name)
	}
}

func (r *reading) ephemeral(list []setting) {
	if on, ok := r.flag(list[0]); ok && on {
		r.warn(list[0], "davit create makes a domain that is gone when it stops")
	}
}
