package auth

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// handshakes are the connections that have not shown a certificate yet. Whoever can reach the port may open them and say
// nothing, so that they are bounded, those of one address and those of all; and since addresses cost little, who comes when all
// places are taken gets one: that of the oldest, of the address that has most.
type handshakes struct {
	total, each int // limits; 0 is none

	mu     sync.Mutex
	count  int
	last   uint64                     // number of the newest
	places map[netip.Addr][]*stranger // by origin, the oldest first
}

func newHandshakes(total, each int) handshakes {
	return handshakes{total: total, each: each, places: make(map[netip.Addr][]*stranger)}
}

// begin gives a connection its place, unless its address has as many as it may.
func (h *handshakes) begin(s *stranger) error {
	h.mu.Lock()
	var late *stranger
	if h.each > 0 && len(h.places[s.origin]) >= h.each {
		h.mu.Unlock()
		return reached("tls.max_handshakes_per_address", h.each, "handshakes of this address are under way")
	}
	if h.total > 0 && h.count >= h.total {
		late = h.latest()
		h.remove(late)
	}
	h.last++
	h.count++
	s.number = h.last
	h.places[s.origin] = append(h.places[s.origin], s)
	h.mu.Unlock()
	if late != nil {
		late.drop(reached("tls.max_handshakes", h.total, "handshakes are under way; this was the oldest, and another came"))
	}
	return nil
}

// end gives the place back.
func (h *handshakes) end(s *stranger) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(s)
}

// latest is the oldest connection of the address that has most of them; of several such addresses, the oldest of all. There is
// one. The mutex is held.
func (h *handshakes) latest() (late *stranger) {
	most := 0
	for _, list := range h.places {
		if len(list) > most || len(list) == most && list[0].number < late.number {
			late, most = list[0], len(list)
		}
	}
	return late
}

// remove takes a connection's place away, if it has one still. The mutex is held.
func (h *handshakes) remove(s *stranger) {
	list := h.places[s.origin]
	for i := range list {
		if list[i] != s {
			continue
		}
		h.count--
		if len(list) == 1 {
			delete(h.places, s.origin)
			return
		}
		h.places[s.origin] = append(list[:i:i], list[i+1:]...)
		return
	}
}

// stranger is a connection before its handshake.
type stranger struct {
	net.Conn
	origin netip.Addr
	number uint64 // of its place
	done   func() // gives the place back

	late   atomic.Pointer[error] // why it was ended for the sake of another
	handed atomic.Bool           // another server has it
}

// drop ends the connection for the sake of another.
func (s *stranger) drop(why error) {
	s.late.Store(&why)
	_ = s.Conn.Close()
}

// SetDeadline is for the server that took the connection: it has no say any more once it has handed it on.
func (s *stranger) SetDeadline(t time.Time) error {
	if s.handed.Load() {
		return nil
	}
	return s.Conn.SetDeadline(t)
}

// Close ends the connection.
func (s *stranger) Close() error {
	s.done()
	return s.Conn.Close()
}

// originBits are those of an address of IPv6 that tell one network from others: whoever has one has all addresses in it.
const originBits = 64

// originOf is what tells the places of connections apart: an address of IPv4, a network of IPv6. Of the addresses that are
// valid on one link only, each is one of its own: all neighbours have the same network there.
func originOf(address string) (netip.Addr, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Addr{}, err
	}
	from := at.Addr().Unmap()
	if from.Is4() || from.IsLinkLocalUnicast() {
		return from, nil
	}
	network, err := from.WithZone("").Prefix(originBits)
	if err != nil {
		return netip.Addr{}, err
	}
	return network.Addr(), nil
}
