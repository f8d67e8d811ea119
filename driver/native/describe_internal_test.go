package native

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davitd/davit/domain"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// What davitd makes beside the plan is told, each limit in a unit that people read.
func TestDescribeHost(t *testing.T) {
	const doc = `<domain type='lxc'><name>web</name><memory unit='MiB'>64</memory>
  <memtune><soft_limit unit='KiB'>33000</soft_limit><swap_hard_limit unit='GiB'>1</swap_hard_limit></memtune>
  <blkiotune><weight>500</weight><device><path>/dev/sda</path><weight>200</weight><read_bytes_sec>2097152</read_bytes_sec></device></blkiotune>
  <vcpu cpuset='1-3'>2</vcpu><cputune><shares>2048</shares><period>100000</period><quota>50000</quota></cputune>
  <numatune><memory mode='strict' nodeset='0-1'/></numatune>
  <os><type>exe</type><init>/bin/sh</init></os>
  <devices>
    <interface type='bridge'>
      <mac address='52:54:00:00:00:01'/><source bridge='br0'/><mtu size='1400'/><port isolated='yes'/>
      <vlan><tag id='7'/></vlan><ip address='192.0.2.2' prefix='24'/><route address='0.0.0.0' prefix='0' gateway='192.0.2.1'/>
      <bandwidth><inbound average='1024' peak='2048' burst='512'/></bandwidth>
    </interface>
    <interface type='ethernet'>
      <mac address='52:54:00:00:00:02'/><source><ip address='198.51.100.1' prefix='24'/></source><target dev='web0'/><guest dev='lan'/>
    </interface>
    <interface type='direct'><mac address='52:54:00:00:00:03'/><source dev='en0' mode='bridge'/></interface>
    <interface type='direct'><source dev='en0' mode='bridge'/><davit:ipvlan xmlns:davit='https://github.com/davitd/davit/schemas/domain/1.0' mode='l2'/></interface>
    <console type='pty'><log file='/var/log/web.console'/></console>
    <serial type='pty'><log file='/var/log/web.serial' append='on'/></serial>
    <hostdev mode='capabilities' type='net'><source><interface>en1</interface></source></hostdev>
  </devices>
</domain>`
	def, _, err := domain.Read(&davitv1.DefinitionSource{Source: &davitv1.DefinitionSource_Xml{Xml: doc}}, domain.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	list, faults, missing := nics(def, nicSources{})
	if len(faults)+len(missing) > 0 {
		t.Fatal(faults, missing)
	}
	const want = `cgroup memory at most 64 MiB
cgroup memory reclaimed above 33000 KiB
cgroup memory and swap at most 1 GiB
cgroup processor shares 2048
cgroup processor period 100000 us
cgroup io weight 500
cgroup processes at most 512
cgroup processor time at most 50000 us a period
cgroup processors 1-3
cgroup memory nodes 0-1
cgroup devices c 1:3 rw, c 1:5 rw, c 1:7 rw, c 1:8 rw, c 1:9 rw, c 5:0 rw, c 5:1 rw, c 5:2 rw, c 136:* rw, no others
cgroup io of /dev/sda weight 200 read at most 2 MiB/s
interface net0: eth0 inside, the first free vnet on the host, port of bridge br0, isolated, native VLAN 7, mac 52:54:00:00:00:01, mtu 1400, address 192.0.2.2/24, route to 0.0.0.0/0 via 192.0.2.1, inbound 1 MiB/s peak 2 MiB/s burst 512 KiB
interface net1: lan inside, web0 on the host, mac 52:54:00:00:00:02, address 198.51.100.1/24 on the host
interface net2: eth1 inside, macvlan on en0, mac 52:54:00:00:00:03
interface net3: eth2 inside, ipvlan on en0
interface hostdev0: en1 inside, en1 of the host
console0 is written to "/var/log/web.console", which is emptied first
serial0 is written to "/var/log/web.serial", from its end on
`
	got := describeHost(def, Facts{}, func(string) bool { return true }, list)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for n, want := range map[uint64]string{0: "0 bytes", 1023: "1023 bytes", 1 << 41: "2 TiB", 1<<64 - 1: "unlimited"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
