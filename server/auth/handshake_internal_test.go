package auth

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/davitd/davit/domain"
)

// unfinished is a connection that says nothing, and its other end.
func unfinished(t *testing.T, from string) *stranger {
	t.Helper()
	origin, err := originOf(net.JoinHostPort(from, "1000"))
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return &stranger{Conn: near, origin: origin}
}

// Of an address there are no more than it may have; when all places are taken the next comes in nevertheless, in the place of
// the oldest of the address that has most, so that nobody keeps others out by saying nothing.
func TestPlacesOfHandshakes(t *testing.T) {
	h := newHandshakes(6, 3)
	all := map[string]*stranger{}
	begin := func(from string) error {
		s := unfinished(t, from)
		err := h.begin(s)
		all[fmt.Sprintf("%s/%d", from, s.number)] = s
		return err
	}
	// late are those that were ended for others, by address and number.
	late := func() string {
		var names []string
		for number := range uint64(100) {
			for name, s := range all {
				if s.late.Load() != nil && s.number == number {
					names = append(names, name)
				}
			}
		}
		return strings.Join(names, " ")
	}
	for _, step := range []struct{ from, late string }{
		{"192.0.2.1", ""},
		{"192.0.2.2", ""},
		{"192.0.2.1", ""},
		{"192.0.2.2", ""},
		{"192.0.2.2", ""},
		{"192.0.2.1", ""},
		{"192.0.2.3", "192.0.2.1/1"}, // both have three: the oldest of all
		{"192.0.2.4", "192.0.2.1/1 192.0.2.2/2"},
		{"192.0.2.5", "192.0.2.1/1 192.0.2.2/2 192.0.2.1/3"},
		{"192.0.2.6", "192.0.2.1/1 192.0.2.2/2 192.0.2.1/3 192.0.2.2/4"},
		{"192.0.2.7", "192.0.2.1/1 192.0.2.2/2 192.0.2.1/3 192.0.2.2/4 192.0.2.2/5"}, // each has one
		{"192.0.2.3", "192.0.2.1/1 192.0.2.2/2 192.0.2.1/3 192.0.2.2/4 192.0.2.2/5 192.0.2.1/6"},
	} {
		if err := begin(step.from); err != nil {
			t.Fatalf("from %s: %v", step.from, err)
		}
		if got := late(); got != step.late {
			t.Fatalf("after one more from %s, ended are %q, want %q", step.from, got, step.late)
		}
	}
	for _, s := range all {
		why := s.late.Load()
		if why == nil {
			continue
		}
		if e, ok := errors.AsType[*domain.Error](*why); !ok || e.Detail["limit"] != "tls.max_handshakes" || e.Detail["value"] != "6" {
			t.Errorf("one was ended because of %v", *why)
		}
		if _, err := s.Write([]byte{0}); err == nil {
			t.Error("one that was ended is open")
		}
	}
	for _, s := range all { // more than once, as a connection may be closed when its handshake has ended
		h.end(s)
		h.end(s)
	}
	if h.count != 0 || len(h.places) != 0 {
		t.Errorf("%d places are taken, of %d addresses, when all have ended", h.count, len(h.places))
	}
}

// One address has no more places than it may, however many are free, and its next connection ends no other.
func TestPlacesOfAnAddress(t *testing.T) {
	h := newHandshakes(100, 3)
	var list []*stranger
	for range 3 {
		list = append(list, unfinished(t, "192.0.2.1"))
		if err := h.begin(list[len(list)-1]); err != nil {
			t.Fatal(err)
		}
	}
	err := h.begin(unfinished(t, "192.0.2.1"))
	if e, ok := errors.AsType[*domain.Error](err); !ok || e.Detail["limit"] != "tls.max_handshakes_per_address" || e.Detail["value"] != "3" {
		t.Errorf("the fourth of an address: %v", err)
	}
	for _, s := range list {
		if s.late.Load() != nil {
			t.Error("one was ended for one that is refused")
		}
	}
	if err := h.begin(unfinished(t, "192.0.2.2")); err != nil {
		t.Errorf("one of another address: %v", err)
	}
	h.end(list[1])
	if err := h.begin(unfinished(t, "192.0.2.1")); err != nil {
		t.Errorf("one more when another has ended: %v", err)
	}
}

// Without limits there is room for all.
func TestHandshakesWithoutLimits(t *testing.T) {
	h := newHandshakes(0, 0)
	for range 100 {
		if err := h.begin(unfinished(t, "192.0.2.1")); err != nil {
			t.Fatal(err)
		}
	}
}

// Who has a network of IPv6 has all addresses in it.
func TestOrigins(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1:1", "192.0.2.1:2", true},
		{"192.0.2.1:1", "192.0.2.2:1", false},
		{"192.0.2.1:1", "[::ffff:192.0.2.1]:1", true},
		{"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:1", false},
		{"[2001:db8::1]:1", "[2001:db8::ffff:0:0:2]:1", true},
		{"[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1", false},
		{"[fe80::1%eth0]:1", "[fe80::2%eth0]:1", false},
		{"[fe80::1%eth0]:1", "[fe80::1%eth1]:1", false},
		{"[fe80::1%eth0]:1", "[fe80::1%eth0]:2", true},
		{"[::1]:1", "127.0.0.1:1", false},
	} {
		a, err := originOf(tt.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := originOf(tt.b)
		if err != nil {
			t.Fatal(err)
		}
		if (a == b) != tt.same {
			t.Errorf("%s is %v, %s is %v; want them the same: %t", tt.a, a, tt.b, b, tt.same)
		}
	}
	if _, err := originOf("@"); err == nil {
		t.Error("what is no address has an origin")
	}
}
