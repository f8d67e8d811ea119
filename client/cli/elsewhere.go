package cli

import "strings"

// elsewhere is words that are commands of other programs and none of davit's. A word that ends in * stands for all that
// begin so. Whoever makes one of them a command takes it out of its list; TestElsewhere says where.
type elsewhere struct {
	words string
	says  string
}

// virshOnly is the commands that virsh has and davit has not, and why.
func virshOnly() []elsewhere {
	return []elsewhere{
		{
			"change-media",
			"a container has no drive with media in it; 'detach-disk' and 'attach-disk' put another disk in its place",
		},
		{"update-memory-device", "the memory of a container is no device; 'setmem' and 'memtune' set its limits"},
		{
			"blkdeviotune domblkthreshold",
			"a disk of a container has no limits of its own; 'blkiotune' limits what the domain does with a device of the host",
		},
		{"blockcommit blockcopy blockjob blockpull", "an image has no layers; copy it while the domain is shut off or suspended"},
		{"blockresize", "the size of a disk is that of its image or device; change that, then detach and attach the disk"},
		{"domblkerror", "errors of a disk go to the processes that meet them, and to the host's kernel log"},
		{"net-* nwfilter-*", "there are no networks by name yet; an interface is attached to a bridge of the host"},
		{"iface-*", "davit leaves the host's interfaces to the host; see ip(8)"},
		{"pool-* vol-* find-storage-pool-sources find-storage-pool-sources-as", "storage is folders of the host: a <filesystem> names one"},
		{"nodedev-*", "davit leaves the host's devices to the host; see lsblk(8), lspci(8) and ip(8)"},
		{"secret-*", "nothing in a definition refers to a secret"},
		{
			"save restore save-image-* managedsave managedsave-* dump",
			"the memory of a container cannot be saved, in libvirt neither; 'suspend' keeps it in place",
		},
		{"migrate migrate-*", "a running container cannot be moved, in libvirt neither; define it on the other host and start it there"},
		{
			"snapshot-* checkpoint-* backup-*",
			"there are no snapshots, in libvirt for containers neither; copy the folder of a domain that is shut off or suspended",
		},
		{
			"vcpuinfo vcpupin emulatorpin setvcpus setvcpu guestvcpus maxvcpus iothread*",
			"a container has no processors of its own; 'schedinfo' and <vcpu cpuset='…'> share out the host's",
		},
		{
			"cpu-baseline cpu-compare cpu-models hypervisor-cpu-* domcapabilities nodesevinfo domlaunchsecinfo domsetlaunchsecstate",
			"a container has the processors of its host as they are; 'capabilities' and 'nodeinfo' tell of them",
		},
		{
			"domdisplay domdisplay-reload vncdisplay screenshot send-key inject-nmi",
			"a container has no display and no keyboard; 'console' is its terminal",
		},
		{
			"domfsfreeze domfsthaw domfstrim domtime domhostname guestinfo guest-agent-timeout set-user-password " +
				"get-user-sshkeys set-user-sshkeys",
			"there is no agent in a container and no need of one: 'exec' runs a command in it",
		},
		{"dompmsuspend dompmwakeup nodesuspend", "there is no power management; 'suspend' stops a domain where it is"},
		{"domjobabort", "no job of davit takes long enough to be given up; 'domjobinfo' shows what is being done"},
		{"domdirtyrate-calc perf", "the kernel does not count that for a container; 'domstats' has what it counts"},
		{"qemu-* dom-fd-associate", "that is QEMU's"},
	}
}

// otherwise is what docker, podman, incus and systemd's tools call what davit has by another name: which commands.
func otherwise() []elsewhere {
	return []elsewhere{
		{"ls ps", "'list', or 'list --all' with those that are shut off"},
		{"run launch", "'create FILE', which is gone when it stops, or 'define FILE' and 'start NAME'"},
		{"new init import add", "'define FILE'"},
		{"stop poweroff", "'shutdown NAME', which asks, or 'destroy NAME', which does not"},
		{"halt kill terminate", "'destroy NAME', or 'send-process-signal NAME PID SIGNAL' for one process"},
		{"rm remove delete", "'undefine NAME', after 'destroy NAME' if it is running"},
		{"restart", "'reboot NAME', which asks, or 'reset NAME', which does not"},
		{"pause freeze", "'suspend NAME'"},
		{"unpause unfreeze thaw continue", "'resume NAME'"},
		{"inspect show cat", "'dumpxml NAME', 'dominfo NAME', or either with -o json"},
		{"status", "'domstate NAME --reason', or 'why NAME'"},
		{"stats stat", "'domstats NAME'"},
		{"top", "'domstats NAME', or 'exec NAME -- ps'"},
		{"attach", "'console NAME'"},
		{"enter shell login", "'exec -it NAME -- sh', or 'console NAME'"},
		{"log journal", "'logs NAME', with -f to follow"},
		{"events monitor", "'event --all --loop'"},
		{"update set limit", "'setmem', 'memtune' or 'schedinfo'"},
		{"rename mv move", "'domrename OLD NEW'"},
		{"enable disable", "'autostart NAME', and 'autostart NAME --disable'"},
		{"info system", "'nodeinfo', 'capabilities' and 'doctor' for the host, 'dominfo NAME' for a domain"},
		{"label config", "'metadata', 'desc' or 'edit'"},
		{"apply", "'define FILE'"},
		{
			"build commit pull push images image rmi save-image load tag search history export",
			"nothing: there are no images; a domain's root is a folder, and 'define FILE' names it",
		},
		{"cp copy file", "nothing: the files of a domain are in a folder of the host; or 'exec -i NAME -- sh -c \"cat >FILE\"'"},
		{"network port", "'attach-interface NAME bridge BRIDGE': there are no networks by name yet"},
		{"volume storage mount", "'attach-filesystem NAME SOURCE TARGET': a <filesystem> names a folder of the host"},
		{"device", "'attach-device NAME FILE', 'attach-disk', 'attach-interface' or 'attach-filesystem'"},
		{"compose stack swarm", "nothing: 'define FILE' takes a document a domain"},
	}
}

// hintOf is what to tell who typed a command that davit does not have and other programs do; "" for any other word.
func hintOf(word string) string {
	for _, e := range virshOnly() {
		if e.has(word) {
			return "virsh has it, davit has not: " + e.says
		}
	}
	for _, e := range otherwise() {
		if e.has(word) {
			return "what davit has for that is " + e.says
		}
	}
	return ""
}

func (e elsewhere) has(word string) bool {
	for w := range strings.FieldsSeq(e.words) {
		if begin, all := strings.CutSuffix(w, "*"); w == word || all && strings.HasPrefix(word, begin) {
			return true
		}
	}
	return false
}
