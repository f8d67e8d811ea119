package native_test

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/davitd/davit/internal/testenv"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// inNetwork runs f on a thread in a network namespace; sockets that f makes stay in it.
func inNetwork(tb testing.TB, ns *os.File, f func() error) {
	tb.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with its namespace
		err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		tb.Fatal(err)
	}
}

// transfer sends what fits into a time from one namespace to an address in another; it gives the bytes that arrived, and how many
// segments were sent again.
func transfer(tb testing.TB, from, to *os.File, address string, long time.Duration) (bytes int64, resent uint32) {
	tb.Helper()
	var l net.Listener
	inNetwork(tb, to, func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	defer func() { _ = l.Close() }()
	arrived := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			arrived <- 0
			return
		}
		defer func() { _ = c.Close() }()
		n, _ := io.Copy(io.Discard, c)
		arrived <- n
	}()
	var c net.Conn
	inNetwork(tb, from, func() (err error) {
		c, err = net.DialTimeout("tcp", l.Addr().String(), testenv.Scale(30*time.Second))
		return err
	})
	p := make([]byte, 64<<10)
	for end := time.Now().Add(long); time.Now().Before(end); {
		if err := c.SetWriteDeadline(end); err != nil {
			tb.Fatal(err)
		}
		if _, err := c.Write(p); err != nil {
			break
		}
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		tb.Fatalf("%T is no TCP connection", c)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		tb.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		if info, infoErr := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); infoErr == nil {
			resent = info.Total_retrans
		}
	}); err != nil {
		tb.Fatal(err)
	}
	_ = tcp.SetLinger(0) // what is queued does not count
	_ = c.Close()
	return <-arrived, resent
}

// Two domains on a bridge talk over IPv4 and IPv6. How fast is measured by BenchmarkTalk.
func TestDomainsTalk(t *testing.T) {
	h := newNetworkHost(t, "11fe0090")
	d := closing(t, h.open(t))
	one, two := start(t, d, h.spec(idle, withInterfaces(onBoth("52:54:00:00:22:01", 2)))), start(t, d, h.spec(idle, withInterfaces(onBoth("52:54:00:00:22:02", 3))))
	_, from := guestNet(t, one)
	_, to := guestNet(t, two)
	for _, address := range []string{"10.0.0.3:5000", "[fd00::3]:5000"} {
		if n, _ := transfer(t, from, to, address, 100*time.Millisecond); n == 0 {
			t.Errorf("nothing arrives at %s", address)
		}
	}
	kill(t, one)
	kill(t, two)
}

// The root of a guest may do what it likes with its own end: what holds back its traffic is on the host, where it sees nothing.
func TestGuestCannotChangeShaping(t *testing.T) {
	h := newNetworkHost(t, "11fe0091")
	d := closing(t, h.open(t))
	limited := onBoth("52:54:00:00:23:01", 2)
	limit := &davitv1.BandwidthLimit{Average: 1024}
	limited.Bandwidth = &davitv1.Bandwidth{Inbound: limit, Outbound: limit}
	one, two := start(t, d, h.spec(idle, withInterfaces(limited))), start(t, d, h.spec(idle, withInterfaces(onBoth("52:54:00:00:23:02", 3))))
	g, ns := guestNet(t, one)
	_, other := guestNet(t, two)
	all, err := g.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		name := l.Attrs().Name
		if strings.HasPrefix(name, "vnet") || strings.HasPrefix(name, "dvifb") || name == "br0" {
			t.Errorf("the guest sees %q", name)
		}
		queues, listErr := g.QdiscList(l)
		if listErr != nil {
			t.Fatal(listErr)
		}
		for _, q := range queues {
			if q.Type() == "tbf" || q.Type() == "htb" || q.Type() == "ingress" {
				t.Errorf("the guest sees the queue %v of %q", q, name)
			}
			_ = g.QdiscDel(q) // refused or not, it is its own
		}
	}
	eth, err := g.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if err = errors.Join(g.LinkSetMTU(eth, 9000), g.LinkSetTxQLen(eth, 100000), g.QdiscReplace(&netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: eth.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}, QdiscType: "pfifo",
	}), g.LinkSetHardwareAddr(eth, net.HardwareAddr{2, 0, 0, 0, 0x23, 9}), g.LinkSetMTU(eth, 1500)); err != nil {
		t.Logf("the guest is refused: %v", err)
	}
	const long = time.Second
	// A quarter more than the average, and what the bucket held: far from the gigabits of a pair.
	most := float64(limit.GetAverage()<<10)*long.Seconds()*1.25 + 256<<10
	for name, c := range map[string]struct {
		from, to *os.File
		address  string
	}{"outbound": {ns, other, "10.0.0.3:5000"}, "inbound": {other, ns, "10.0.0.2:5000"}} {
		begun := time.Now()
		n, _ := transfer(t, c.from, c.to, c.address, long)
		// A test that is held up has longer.
		if allowed := most * max(1, time.Since(begun).Seconds()/long.Seconds()); n == 0 || float64(n) > allowed {
			t.Errorf("%s: %d bytes arrive, want at most %.0f", name, n, allowed)
		}
	}
	kill(t, one)
	kill(t, two)
}
