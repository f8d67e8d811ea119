package link_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/davitd/davit/devices/link"
	"github.com/davitd/davit/internal/testenv"
)

// in runs f on a thread in a network namespace; sockets that f makes stay in it.
func in(tb testing.TB, ns *os.File, f func() error) {
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

// transfer sends what fits into a time from one namespace to an address in another, and gives the bytes that arrived.
func transfer(tb testing.TB, from, to *os.File, address string, long time.Duration) (bytes int64, retransmits uint32) {
	tb.Helper()
	var l net.Listener
	in(tb, to, func() (err error) {
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
	in(tb, from, func() (err error) {
		c, err = net.DialTimeout("tcp", l.Addr().String(), testenv.Scale(time.Minute))
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
	retransmits = resent(tb, tcp)
	_ = tcp.SetLinger(0) // what is queued does not count
	_ = c.Close()
	return <-arrived, retransmits
}

// resent is how many segments were sent again (tcp(7), TCP_INFO).
func resent(tb testing.TB, c *net.TCPConn) (n uint32) {
	tb.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		tb.Fatal(err)
	}
	var infoErr error
	err = raw.Control(func(fd uintptr) {
		var info *unix.TCPInfo
		if info, infoErr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); infoErr == nil {
			n = info.Total_retrans
		}
	})
	if err = errors.Join(err, infoErr); err != nil {
		tb.Fatal(err)
	}
	return n
}

// TestTalk sends over IPv4 and IPv6, between guests on a bridge and to the host of a free pair, and counts it from the
// guest's side.
func TestTalk(t *testing.T) {
	b := setUp(t)
	second := namespace(t)
	m := b.attach(t, link.Spec{
		Kind: link.Bridge, Bridge: "br0", Guest: "eth0", Addresses: []link.Address{address("10.0.0.2/24"), address("fd00::2/64")},
	})
	if _, err := b.Attach(second, link.Spec{
		Kind: link.Bridge, Bridge: "br0", Guest: "eth0", Addresses: []link.Address{address("10.0.0.3/24"), address("fd00::3/64")},
	}); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"10.0.0.3:5000", "[fd00::3]:5000"} {
		before, err := b.Counters(b.guest, m)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := transfer(t, b.guest, second, to, 50*time.Millisecond)
		after, err := b.Counters(b.guest, m)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 || after.SentBytes-before.SentBytes < uint64(n) || after.ReceivedBytes == before.ReceivedBytes {
			t.Errorf("%s: %d bytes arrived; counted before %+v, after %+v", to, n, before, after)
		}
	}
	b.attach(t, link.Spec{
		Guest: "eth1", Addresses: []link.Address{address("10.4.0.2/24")}, HostAddresses: []link.Address{address("10.4.0.1/24")},
	})
	if n, _ := transfer(t, b.guest, b.host, "10.4.0.1:5000", 20*time.Millisecond); n == 0 {
		t.Error("nothing arrives on the host end of a free pair")
	}
}

// TestIsolated ports do not reach each other, and reach the others.
func TestIsolated(t *testing.T) {
	b := setUp(t)
	ports := []*os.File{b.guest, namespace(t), namespace(t)}
	for i, ns := range ports {
		if _, err := b.Attach(ns, link.Spec{
			Kind: link.Bridge, Bridge: "br0", Guest: "eth0", Isolated: i < 2, Addresses: []link.Address{address(fmt.Sprintf("10.0.0.%d/24", i+1))},
		}); err != nil {
			t.Fatal(err)
		}
	}
	if n, _ := transfer(t, ports[0], ports[2], "10.0.0.3:5000", 20*time.Millisecond); n == 0 {
		t.Error("an isolated port does not reach another that is not")
	}
	var l net.Listener
	in(t, ports[1], func() (err error) {
		l, err = net.Listen("tcp", "10.0.0.2:5000")
		return err
	})
	defer func() { _ = l.Close() }()
	in(t, ports[0], func() error {
		c, err := net.DialTimeout("tcp", "10.0.0.2:5000", 300*time.Millisecond)
		if err == nil {
			_ = c.Close()
			t.Error("an isolated port reaches another")
		}
		return nil
	})
}

// TestBandwidth: the buckets are there, are changed while traffic goes through, and are taken away; the guest sees none of
// them. How well they hold is measured by BenchmarkBandwidth.
func TestBandwidth(t *testing.T) {
	b := setUp(t)
	m := b.attach(t, link.Spec{
		Guest: "eth0", Addresses: []link.Address{address("10.4.0.2/24")}, HostAddresses: []link.Address{address("10.4.0.1/24")},
		Bandwidth: link.Bandwidth{Inbound: link.Limit{Average: 1 << 20}, Outbound: link.Limit{Average: 2 << 20, Peak: 4 << 20, Burst: 1 << 20}},
	})
	for range 2 { // setting the same again changes nothing
		if err := b.SetBandwidth(m, link.Bandwidth{Inbound: link.Limit{Average: 1 << 20}, Outbound: link.Limit{Average: 2 << 20}}); err != nil {
			t.Fatal(err)
		}
	}
	long := 500 * time.Millisecond
	for _, c := range []struct {
		name     string
		from, to *os.File
		address  string
		average  float64
	}{{"inbound", b.host, b.guest, "10.4.0.2:5000", 1 << 20}, {"outbound", b.guest, b.host, "10.4.0.1:5000", 2 << 20}} {
		// A quarter more than the average, and what the bucket held: far from the gigabytes of a free pair.
		begun := time.Now()
		n, _ := transfer(t, c.from, c.to, c.address, long)
		took := time.Since(begun) // which is longer on a busy host: what is queued goes on until the end
		most := c.average*took.Seconds()*1.25 + 128<<10
		if float64(n) > most || n == 0 {
			t.Errorf("%s: %d bytes arrived, want at most %.0f", c.name, n, most)
		}
	}
	if err := b.SetBandwidth(m, link.Bandwidth{}); err != nil {
		t.Fatal(err)
	}
	free := int64(0)
	for range 20 { // a busy host may do nothing for a while; with a limit it never comes so far
		if free, _ = transfer(t, b.guest, b.host, "10.4.0.1:5001", long); free >= 4<<20 {
			break
		}
	}
	if free < 4<<20 {
		t.Errorf("without a limit %d bytes arrived", free)
	}
	for _, name := range b.names(t, b.h) {
		if name == fmt.Sprintf("dvifb%d", m.HostIndex) {
			t.Errorf("%s is left when there is no limit", name)
		}
	}
}

// BenchmarkBandwidth measures how well a limit of 100 Mbit/s holds in each direction over ten seconds: what arrived on the
// wire as a part of what may, and how many segments were sent again.
func BenchmarkBandwidth(bench *testing.B) {
	const average, long = 12500000, 10 * time.Second
	limit := link.Limit{Average: average}
	b := setUp(bench)
	b.attach(bench, link.Spec{
		Guest: "eth0", Addresses: []link.Address{address("10.4.0.2/24")}, HostAddresses: []link.Address{address("10.4.0.1/24")},
		Bandwidth: link.Bandwidth{Inbound: limit, Outbound: limit},
	})
	for _, c := range []struct {
		name     string
		from, to *os.File
		address  string
	}{{"inbound", b.host, b.guest, "10.4.0.2:5000"}, {"outbound", b.guest, b.host, "10.4.0.1:5000"}} {
		bench.Run(c.name, func(bench *testing.B) {
			var arrived, again float64
			for bench.Loop() {
				n, resent := transfer(bench, c.from, c.to, c.address, long)
				arrived += float64(n)
				again += float64(resent)
			}
			// A segment of 1448 bytes is 1514 on the wire.
			bench.ReportMetric(arrived*1514/1448/float64(bench.N)/average/long.Seconds(), "of-limit")
			bench.ReportMetric(again/float64(bench.N), "resent/op")
		})
	}
}
