package cli

import (
	"fmt"

	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// network is what went through the interfaces of a domain, in libvirt's words; an interface that is not counted has its name
// only.
func network(all []*davitv1.InterfaceStatus) []member {
	list := []member{{"net.count", len(all)}}
	for n, i := range all {
		prefix := fmt.Sprintf("net.%d.", n)
		list = append(list, member{prefix + "name", endOf(i)})
		c := i.GetCounters()
		if c == nil {
			continue
		}
		list = append(list,
			member{prefix + "rx.bytes", c.GetReceivedBytes()}, member{prefix + "rx.pkts", c.GetReceivedPackets()},
			member{prefix + "rx.errs", c.GetReceiveErrors()}, member{prefix + "rx.drop", c.GetReceiveDrops()},
			member{prefix + "tx.bytes", c.GetSentBytes()}, member{prefix + "tx.pkts", c.GetSentPackets()},
			member{prefix + "tx.errs", c.GetSendErrors()}, member{prefix + "tx.drop", c.GetSendDrops()})
	}
	return list
}

// blocks is what went through the disks of a domain and how large they are, in libvirt's words. What is not known has no
// line.
func blocks(all []*davitv1.BlockDeviceStatus) []member {
	list := []member{{"block.count", len(all)}}
	for n, d := range all {
		prefix := fmt.Sprintf("block.%d.", n)
		list = append(list, member{prefix + "name", d.GetTarget()})
		if d.GetSource() != "" {
			list = append(list, member{prefix + "path", d.GetSource()})
		}
		if c := d.GetCounters(); c != nil {
			list = append(list,
				member{prefix + "rd.reqs", c.GetReadRequests()}, member{prefix + "rd.bytes", c.GetReadBytes()},
				member{prefix + "wr.reqs", c.GetWriteRequests()}, member{prefix + "wr.bytes", c.GetWrittenBytes()})
		}
		if d.GetCapacityBytes() > 0 {
			list = append(list,
				member{prefix + "allocation", d.GetAllocationBytes()}, member{prefix + "capacity", d.GetCapacityBytes()},
				member{prefix + "physical", d.GetPhysicalBytes()})
		}
	}
	return list
}
