package link_test

import (
	"fmt"
	"testing"

	"github.com/davitd/davit/devices/link"
)

// BenchmarkAttach makes interfaces on a bridge, with an address, one after the other in one guest.
func BenchmarkAttach(bench *testing.B) {
	b := setUp(bench)
	for n := 0; bench.Loop(); n++ {
		m, err := b.Attach(b.guest, link.Spec{
			Kind: link.Bridge, Bridge: "br0", Guest: fmt.Sprintf("eth%d", n), Owner: "davit-test-" + keptID,
			Addresses: []link.Address{address("10.0.0.2/24")},
		})
		if err != nil {
			bench.Fatal(err)
		}
		bench.StopTimer()
		if err := b.Detach(b.guest, m); err != nil {
			bench.Fatal(err)
		}
		bench.StartTimer()
	}
}
