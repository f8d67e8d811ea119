package oci

// Field is what is done with a field of config.json.
type Field struct {
	// Path in the document; [*] is any item of a list.
	Path string
	// Becomes is the field of a definition. Empty: it is not carried over.
	Becomes string
	// Why it, or a part of it, is not.
	Why string
}

// Fields are the fields of config.json that are converted, and those that are known not to be. Any other is told of as well.
func Fields() []Field {
	return []Field{
		{Path: "ociVersion", Becomes: "nothing: 1.x is read, and 1.2.0 written"},
		{Path: "hostname", Becomes: "name; the name that the caller gives where there is none", Why: "a definition's name may hold what a host's may not"},
		{Path: "domainname", Why: "definitions have no NIS domain"},
		{Path: "root.path", Becomes: "filesystem for /, from the bundle's folder"},
		{Path: "root.readonly", Becomes: "readonly of that filesystem"},
		{Path: "process.args", Becomes: "os.init and os.initarg; a program without a path is looked for in the root, or run by /usr/bin/env"},
		{Path: "process.env", Becomes: "os.initenv"},
		{Path: "process.cwd", Becomes: "os.initdir; nothing for /"},
		{Path: "process.user.uid", Becomes: "os.inituser; nothing for 0"},
		{Path: "process.user.gid", Becomes: "os.initgroup; nothing for 0"},
		{Path: "process.user.additionalGids", Why: "init has the groups of its user"},
		{Path: "process.user.umask", Why: "definitions have no umask"},
		{Path: "process.user.username", Why: "it is for Windows"},
		{Path: "process.terminal", Becomes: "a console", Why: "without one, init writes to a console all the same"},
		{Path: "process.consoleSize", Why: "a console has the size of the terminal that is attached"},
		{
			Path: "process.capabilities.bounding[*]", Becomes: "features.capabilities, in the fewest words",
			Why: "definitions do not speak of every capability",
		},
		{Path: "process.capabilities.effective", Becomes: "nothing where it is the bounding set", Why: "init has what the domain may have"},
		{Path: "process.capabilities.permitted", Becomes: "nothing where it is the bounding set", Why: "init has what the domain may have"},
		{Path: "process.capabilities.inheritable", Becomes: "nothing within the bounding set", Why: "init has what the domain may have"},
		{Path: "process.capabilities.ambient", Becomes: "nothing for root", Why: "programs get capabilities by their files or as root"},
		{Path: "process.noNewPrivileges", Becomes: "profile.no_new_privs, where the profile of the domain says otherwise"},
		{Path: "process.apparmorProfile", Becomes: "seclabel of model apparmor, static"},
		{Path: "process.selinuxLabel", Becomes: "seclabel of model selinux, static"},
		{Path: "process.rlimits[*]", Becomes: "profile.rlimit, where the profile of the domain says otherwise", Why: "a resource is limited once"},
		{Path: "process.oomScoreAdj", Why: "definitions have no attributes of init"},
		{Path: "process.scheduler", Why: "definitions have no attributes of init"},
		{Path: "process.ioPriority", Why: "definitions have no attributes of init"},
		{Path: "process.execCPUAffinity", Why: "definitions have no attributes of single programs"},
		{Path: "process.commandLine", Why: "it is for Windows"},
		{
			Path: "mounts[*]", Becomes: "filesystem: of type mount for bind mounts, ram for tmpfs, block for devices; readonly for ro. Nothing for what every domain has",
			Why: "other kinds, targets in /proc, /sys and /dev, and options but ro and size are not possible",
		},
		{Path: "hooks", Why: "nothing of the host is run with a domain's life; watch its events"},
		{Path: "annotations", Why: "definitions keep XML of applications in metadata"},
		{
			Path: "linux.namespaces[*]", Becomes: "nothing without a path; lxc_namespace for network, ipc and uts of /proc/PID/ns or /run/netns",
			Why: "a domain has all namespaces of its own; others cannot be shared",
		},
		{Path: "linux.uidMappings[*]", Becomes: "idmap.uid"},
		{Path: "linux.gidMappings[*]", Becomes: "idmap.gid"},
		{Path: "linux.devices[*]", Becomes: "hostdev of type misc or storage", Why: "a device has the mode and owner that davit gives it"},
		{Path: "linux.netDevices", Becomes: "hostdev of type net", Why: "an interface keeps its name, and a shared network namespace what it has"},
		{Path: "linux.resources.memory.limit", Becomes: "memory_kib; 1 GiB where there is none"},
		{Path: "linux.resources.memory.reservation", Becomes: "memtune.soft_limit_kib"},
		{Path: "linux.resources.memory.swap", Becomes: "memtune.swap_hard_limit_kib"},
		{Path: "linux.resources.memory.kernel", Why: "the kernel's memory is counted with the domain's"},
		{Path: "linux.resources.memory.kernelTCP", Why: "the kernel's memory is counted with the domain's"},
		{Path: "linux.resources.memory.swappiness", Why: "definitions have no word for it"},
		{Path: "linux.resources.memory.disableOOMKiller", Why: "a domain without the OOM killer would hang"},
		{Path: "linux.resources.memory.useHierarchy", Becomes: "nothing: it is always so"},
		{Path: "linux.resources.memory.checkBeforeUpdate", Why: "a limit below what is used is for the kernel to refuse"},
		{Path: "linux.resources.cpu.shares", Becomes: "cputune.shares"},
		{Path: "linux.resources.cpu.period", Becomes: "cputune.period"},
		{Path: "linux.resources.cpu.quota", Becomes: "cputune.quota"},
		{Path: "linux.resources.cpu.cpus", Becomes: "vcpu.cpuset"},
		{Path: "linux.resources.cpu.mems", Becomes: "numatune, strict"},
		{Path: "linux.resources.cpu.burst", Why: "definitions have no word for it"},
		{Path: "linux.resources.cpu.idle", Why: "definitions have no word for it"},
		{Path: "linux.resources.cpu.realtimeRuntime", Why: "definitions have no real time"},
		{Path: "linux.resources.cpu.realtimePeriod", Why: "definitions have no real time"},
		{Path: "linux.resources.pids.limit", Becomes: "pids_limit"},
		{Path: "linux.resources.blockIO.weight", Becomes: "blkiotune.weight"},
		{Path: "linux.resources.blockIO.weightDevice[*].major", Becomes: "the number of the device in its path: /dev/block/8:0"},
		{Path: "linux.resources.blockIO.weightDevice[*].minor", Becomes: "as above"},
		{Path: "linux.resources.blockIO.weightDevice[*].weight", Becomes: "weight of a blkiotune.device, by its number"},
		{Path: "linux.resources.blockIO.throttleReadBpsDevice[*]", Becomes: "read_bytes_sec of a blkiotune.device"},
		{Path: "linux.resources.blockIO.throttleWriteBpsDevice[*]", Becomes: "write_bytes_sec of a blkiotune.device"},
		{Path: "linux.resources.blockIO.throttleReadIOPSDevice[*]", Becomes: "read_iops_sec of a blkiotune.device"},
		{Path: "linux.resources.blockIO.throttleWriteIOPSDevice[*]", Becomes: "write_iops_sec of a blkiotune.device"},
		{Path: "linux.resources.blockIO.leafWeight", Why: "there are no processes beside those of cgroups below"},
		{Path: "linux.resources.blockIO.weightDevice[*].leafWeight", Why: "there are no processes beside those of cgroups below"},
		{
			Path: "linux.resources.devices[*]", Becomes: "nothing for what is denied to all, and for the devices that the domain has",
			Why: "a definition names devices of the host by their paths",
		},
		{Path: "linux.resources.hugepageLimits", Why: "definitions have no word for it"},
		{Path: "linux.resources.network", Why: "definitions limit the traffic of interfaces"},
		{Path: "linux.resources.rdma", Why: "definitions have no word for it"},
		{Path: "linux.resources.unified", Why: "definitions have words of their own for limits"},
		{Path: "linux.cgroupsPath", Why: "davit names the cgroups of domains itself; see resource/partition"},
		{Path: "linux.sysctl", Why: "definitions have no kernel parameters; init can set them"},
		{Path: "linux.seccomp", Why: "the domain has the filter of its profile; to have this one, put it into /etc/davit/seccomp/NAME.json and name it by profile.seccomp"},
		{Path: "linux.rootfsPropagation", Why: "mounts of the host do not reach a domain, nor the other way round"},
		{Path: "linux.maskedPaths[*]", Becomes: "nothing for those that are masked in every domain", Why: "the paths that are masked are for every domain the same"},
		{Path: "linux.readonlyPaths[*]", Becomes: "nothing for those that no domain can write", Why: "the paths that cannot be written are for every domain the same"},
		{Path: "linux.mountLabel", Why: "security labels are of the domain and not of its mounts"},
		{Path: "linux.intelRdt", Why: "definitions have no word for it"},
		{Path: "linux.memoryPolicy", Why: "numatune holds nodes for all memory"},
		{Path: "linux.personality.domain", Becomes: "os.arch i686 for LINUX32"},
		{Path: "linux.personality.flags", Why: "definitions have no word for it"},
		{Path: "linux.timeOffsets", Why: "domains have the host's clock"},
		{Path: "solaris", Why: "it is for Solaris"},
		{Path: "windows", Why: "it is for Windows"},
		{Path: "vm", Why: "it is for virtual machines"},
		{Path: "zos", Why: "it is for z/OS"},
		{Path: "freebsd", Why: "it is for FreeBSD"},
	}
}

// reasons are why fields are not carried over, by their paths.
func reasons() map[string]string {
	all := map[string]string{}
	for _, f := range Fields() {
		if f.Why != "" {
			all[f.Path] = f.Why
		}
	}
	return all
}
