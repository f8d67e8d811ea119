package cli

// group is commands that belong together, under a title and a keyword for help, both virsh's.
type group struct {
	keyword, title string
	commands       []command
}

// groups are all commands.
func (a *app) groups() []group {
	return []group{
		{"domain", "Domain Management", []command{
			a.attachDevice(), a.attachDisk(), a.attachFilesystem(), a.attachInterface(), a.autostart(), a.blkiotune(), a.console(),
			a.cpuStats(), a.create(), a.define(), a.desc(), a.destroy(), a.detachDevice(), a.detachDeviceAlias(), a.detachDisk(),
			a.detachFilesystem(), a.detachInterface(), a.diff(), a.domid(), a.domifSetlink(), a.domiftune(), a.domname(),
			a.domrename(), a.domuuid(), a.domxmlFromNative(), a.domxmlToNative(), a.dumpxml(), a.edit(), a.exec(),
			a.lxcEnterNamespace(), a.memtune(), a.metadata(), a.numatune(), a.reboot(), a.reset(), a.resume(), a.schedinfo(),
			a.sendProcessSignal(), a.setLifecycleAction(), a.setmaxmem(), a.setmem(), a.shutdown(), a.start(), a.suspend(),
			a.ttyconsole(), a.undefine(), a.updateDevice(), a.vcpucount(),
		}},
		{"monitor", "Domain Monitoring", []command{
			a.domblkinfo(), a.domblklist(), a.domblkstat(), a.domcontrol(), a.domfsinfo(), a.domifGetlink(), a.domifaddr(),
			a.domiflist(), a.domifstat(), a.dominfo(), a.domjobinfo(), a.dommemstat(), a.domstate(), a.domstats(), a.list(),
			a.logs(), a.wait(), a.why(),
		}},
		{"events", "Domain Events", []command{a.event()}},
		{"host", "Host and Hypervisor", []command{
			a.admin(), a.allocpages(), a.audit(), a.capabilities(), a.doctor(), a.freecell(), a.freepages(), a.hostname(),
			a.nodeMemoryTune(), a.nodecpumap(), a.nodecpustats(), a.nodeinfo(), a.nodememstats(), a.sysinfo(), a.uri(),
			a.versionCommand(),
		}},
		{"file", "Definition Files", []command{a.convert(), a.explain(), a.validate()}},
		{"virsh", "Davit itself", []command{
			a.cd(), a.completion(), a.connectCommand(), a.echo(), a.exitCommand(), a.help(), a.pki(), a.pwd(), a.quitCommand(),
		}},
	}
}
