package link

import "testing"

// A kernel that does not say what it made is asked in another way.
func TestReadLinkOfNothing(t *testing.T) {
	for _, told := range [][]byte{nil, {}, make([]byte, 15)} {
		if l, err := readLink(told); err == nil {
			t.Errorf("%d bytes are interface %v", len(told), l)
		}
	}
}
