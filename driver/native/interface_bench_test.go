package native_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/davitd/davit/driver"
	davitv1 "github.com/davitd/davit/proto/davit/v1"
)

// BenchmarkStartWithInterface starts a domain without and with an interface on a bridge, by turns, so that both have the same host. The
// difference of the medians is what an interface costs.
func BenchmarkStartWithInterface(b *testing.B) {
	h := newNetworkHost(b, "be000010")
	d := closing(b, h.open(b))
	kill(b, start(b, d, h.spec(idle)))
	var without, with times
	for b.Loop() {
		for _, c := range []struct {
			into   *times
			change func(*davitv1.Domain)
		}{{&without, withInterfaces()}, {&with, withInterfaces(bridged("52:54:00:00:20:01", "10.0.0.2"))}} {
			time.Sleep(100 * time.Millisecond)
			spec := h.spec("sleep infinity", c.change)
			begun := time.Now()
			i, err := d.Start(context.Background(), spec)
			if err != nil {
				b.Fatal(err)
			}
			*c.into = append(*c.into, time.Since(begun))
			kill(b, i)
		}
	}
	without.report(b, "without")
	with.report(b, "with")
	b.ReportMetric(float64((with[len(with)/2]-without[len(without)/2]).Microseconds())/1000, "difference-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkTalk measures what two domains on a bridge send each other, over IPv4 and IPv6, and how well a limit of 100 Mbit/s holds
// each way over ten seconds.
func BenchmarkTalk(b *testing.B) {
	const average = 12500000
	h := newNetworkHost(b, "be000011")
	d := closing(b, h.open(b))
	limited := onBoth("52:54:00:00:21:01", 2)
	limit := &davitv1.BandwidthLimit{Average: average >> 10}
	limited.Bandwidth = &davitv1.Bandwidth{Inbound: limit, Outbound: limit}
	var spaces []*os.File
	var instances []driver.Instance
	for _, n := range []*davitv1.Interface{limited, onBoth("52:54:00:00:21:02", 3), onBoth("52:54:00:00:21:03", 4)} {
		i := start(b, d, h.spec(idle, withInterfaces(n)))
		_, ns := guestNet(b, i)
		spaces, instances = append(spaces, ns), append(instances, i)
	}
	defer func() {
		for _, i := range instances {
			kill(b, i)
		}
	}()
	for _, c := range []struct {
		name     string
		from, to int
		address  string
		long     time.Duration
		limited  bool
	}{
		{"ipv4", 1, 2, "10.0.0.4:5000", 2 * time.Second, false},
		{"ipv6", 1, 2, "[fd00::4]:5000", 2 * time.Second, false},
		{"inbound", 1, 0, "10.0.0.2:5000", 10 * time.Second, true},
		{"outbound", 0, 1, "10.0.0.3:5000", 10 * time.Second, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			var arrived, again float64
			for b.Loop() {
				n, resent := transfer(b, spaces[c.from], spaces[c.to], c.address, c.long)
				arrived += float64(n)
				again += float64(resent)
			}
			// A segment of 1448 bytes is 1514 on the wire.
			rate := arrived * 1514 / 1448 / float64(b.N) / c.long.Seconds()
			b.ReportMetric(rate*8/1e6, "Mbit/s")
			b.ReportMetric(again/float64(b.N), "resent/op")
			if c.limited {
				b.ReportMetric(rate/float64(limit.GetAverage()<<10), "of-limit")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// onBoth is an interface with an address of each family.
func onBoth(mac string, n int) *davitv1.Interface {
	i := bridged(mac, fmt.Sprintf("10.0.0.%d", n))
	length := uint32(64)
	i.Ip = append(i.Ip, &davitv1.IpAddress{Address: fmt.Sprintf("fd00::%d", n), Prefix: &length})
	return i
}
