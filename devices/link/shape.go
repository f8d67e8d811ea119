package link

import (
	"errors"
	"fmt"
	"math"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Bandwidth limits the traffic of an interface; a zero limit is none.
type Bandwidth struct {
	// Inbound limits what the guest receives, Outbound what it sends.
	Inbound, Outbound Limit
}

// Limit is a token bucket (tc-tbf(8)).
type Limit struct {
	// Average is the rate that is kept, in bytes a second.
	Average uint64
	// Peak is the rate at which a burst goes out, in bytes a second; that of the link when 0.
	Peak uint64
	// Burst is how many bytes may go out at the peak rate after a pause; 0: as few as keep the average.
	Burst uint64
}

func (l Limit) isZero() bool { return l == Limit{} }

func (b Bandwidth) check() error {
	for _, l := range []struct {
		name string
		Limit
	}{{"inbound", b.Inbound}, {"outbound", b.Outbound}} {
		switch {
		case l.isZero():
		case l.Average == 0:
			return fmt.Errorf("limit of %s traffic has no average", l.name)
		case l.Peak != 0 && l.Peak < l.Average:
			return fmt.Errorf("limit of %s traffic has a peak of %d bytes a second, below the average of %d", l.name, l.Peak, l.Average)
		case l.Burst > math.MaxUint32:
			return fmt.Errorf("limit of %s traffic has a burst of %d bytes, %d are the most", l.name, l.Burst, uint32(math.MaxUint32))
		}
	}
	return nil
}

const (
	// minBurst holds the largest packet that segmentation offload makes, and what a timer tick lets out at once at a gigabit.
	minBurst = 68 << 10
	// frame is a full frame with its header: no bucket may be smaller.
	frame = 1514
	// maxWait is how long a byte waits in the queue before the queue is full, in milliseconds. A sender on the host waits
	// for less: the kernel holds back its sockets (TCP small queues). A shorter queue loses packets where it does not.
	maxWait = 100
	// minQueue is the least room of a queue in bytes.
	minQueue = 64 * frame
)

// bucket is the token bucket of a limit, on the interface of an index with an mtu.
func (l Limit) bucket(index, mtu int) *netlink.Tbf {
	burst := max(l.Burst, minBurst, l.Average/250, uint64(mtu)+14)
	queue := max(l.Average*maxWait/1000, minQueue)
	q := &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       l.Average, Peakrate: l.Peak,
		Limit:  uint32(min(queue+burst, math.MaxUint32)),
		Buffer: ticks(l.Average, burst),
	}
	if l.Peak == l.Average {
		q.Peakrate = 0 // the kernel wants it above the rate, or not at all
	}
	if q.Peakrate > 0 {
		q.Minburst = uint32(min(max(uint64(mtu)+14, q.Peakrate/1000), math.MaxUint32))
	}
	return q
}

// ticks is how long it takes to send some bytes at a rate, in the kernel's units of 64 ns.
func ticks(rate, bytes uint64) uint32 {
	return uint32(min(float64(bytes)*1e9/64/float64(rate), math.MaxUint32))
}

// SetBandwidth limits the traffic of a pair from now on.
func (host *Host) SetBandwidth(m Made, b Bandwidth) error {
	if err := b.check(); err != nil {
		return fmt.Errorf("limit traffic of %q: %w", m.Guest, err)
	}
	end, err := host.h.LinkByIndex(m.HostIndex)
	if err != nil {
		return fmt.Errorf("limit traffic of %q: find host end: %w", m.Guest, err)
	}
	if err := host.hold(end, b.Inbound); err != nil {
		return fmt.Errorf("limit traffic to %q: %w", m.Guest, err)
	}
	if err := host.holdOutbound(end, b.Outbound); err != nil {
		return fmt.Errorf("limit traffic from %q: %w", m.Guest, err)
	}
	return nil
}

// hold puts a bucket in the way of what an interface sends, or takes it away.
func (host *Host) hold(l netlink.Link, limit Limit) error {
	attrs := l.Attrs()
	if limit.isZero() {
		return host.unhold(l)
	}
	if err := host.h.QdiscReplace(limit.bucket(attrs.Index, attrs.MTU)); err != nil {
		return fmt.Errorf("set token bucket of %q: %w", attrs.Name, err)
	}
	return nil
}

func (host *Host) unhold(l netlink.Link) error {
	list, err := host.h.QdiscList(l)
	if err != nil {
		return fmt.Errorf("list queues of %q: %w", l.Attrs().Name, err)
	}
	for _, q := range list {
		if q.Type() == "tbf" && q.Attrs().Parent == netlink.HANDLE_ROOT {
			return host.h.QdiscDel(q)
		}
	}
	return nil
}

// blockPrefix begins the names of the devices that hold back what guests send. The number of the host end follows: whose
// a device is can be told from its name alone, and it is nobody's when there is no such host end.
const blockPrefix = "dvifb"

func blockName(hostIndex int) string { return fmt.Sprintf("%s%d", blockPrefix, hostIndex) }

// holdOutbound sends what comes from the guest through a device of its own, which can queue it.
func (host *Host) holdOutbound(end netlink.Link, limit Limit) error {
	index := end.Attrs().Index
	block, err := host.h.LinkByName(blockName(index))
	switch {
	case err != nil && !isNotFound(err):
		return err
	case err != nil && limit.isZero():
		return nil
	case limit.isZero():
		return errors.Join(host.unredirect(end), host.h.LinkDel(block))
	case err == nil:
		return host.hold(block, limit)
	}
	attrs := netlink.LinkAttrs{Name: blockName(index), MTU: end.Attrs().MTU, TxQLen: -1}
	if err = host.h.LinkAdd(&netlink.Ifb{LinkAttrs: attrs}); err != nil {
		return fmt.Errorf("make device %q: %w", attrs.Name, err)
	}
	if block, err = find(host.h, attrs.Name); err != nil {
		return err
	}
	if err = host.redirect(end, block, limit); err != nil {
		return errors.Join(err, host.unredirect(end), host.h.LinkDel(block))
	}
	return nil
}

// redirect comes last, so that nothing is lost on the way.
func (host *Host) redirect(end, block netlink.Link, limit Limit) error {
	if err := host.hold(block, limit); err != nil {
		return err
	}
	if err := host.h.LinkSetUp(block); err != nil {
		return fmt.Errorf("bring %q up: %w", block.Attrs().Name, err)
	}
	index := end.Attrs().Index
	if err := host.h.QdiscReplace(ingress(index)); err != nil {
		return fmt.Errorf("take in what %q receives: %w", end.Attrs().Name, err)
	}
	err := host.h.FilterReplace(&netlink.U32{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.MakeHandle(0xffff, 0), Priority: 1, Protocol: unix.ETH_P_ALL},
		Actions: []netlink.Action{&netlink.MirredAction{
			ActionAttrs: netlink.ActionAttrs{Action: netlink.TC_ACT_STOLEN}, MirredAction: netlink.TCA_EGRESS_REDIR, Ifindex: block.Attrs().Index,
		}},
	})
	if err != nil {
		return fmt.Errorf("send what %q receives through %q: %w", end.Attrs().Name, block.Attrs().Name, err)
	}
	return nil
}

func ingress(index int) *netlink.Ingress {
	return &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS,
	}}
}

func (host *Host) unredirect(end netlink.Link) error {
	err := host.h.QdiscDel(ingress(end.Attrs().Index))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}
