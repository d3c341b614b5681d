package tokens

import (
	"net/netip"
	"testing"
)

func TestForwardedSource(t *testing.T) {
	t.Parallel()
	const peer = "10.0.0.9"
	for _, tt := range []struct {
		name         string
		peer         string
		forwardedFor string
		hops         int
		want         string // empty: the zero address
	}{
		{"no hops: nobody is believed", peer, "203.0.113.1", 0, peer},
		{"no header", peer, "", 1, peer},
		{"one hop", peer, "203.0.113.1", 1, "203.0.113.1"},
		{"what the caller wrote is not read", peer, "198.51.100.1, 203.0.113.1", 1, "203.0.113.1"},
		{"two hops", peer, "198.51.100.1, 203.0.113.1", 2, "198.51.100.1"},
		{"the appended peer is dropped", peer, "203.0.113.1, 10.0.0.9", 1, "203.0.113.1"},
		{"only the last entry can be the appended peer", peer, "10.0.0.9, 203.0.113.1", 2, peer},
		{"dropped once only", peer, "203.0.113.1, 10.0.0.9, 10.0.0.9", 1, peer},
		{"nothing but the appended peer", peer, "10.0.0.9", 1, peer},
		{"too few entries", peer, "203.0.113.1", 2, peer},
		{"an entry that is no address", peer, "203.0.113.1, unknown", 1, ""},
		{"an empty entry", peer, "203.0.113.1,", 1, ""},
		{"rubbish further left is not read", peer, "<script>, 203.0.113.1", 1, "203.0.113.1"},
		{"with a port", peer, "203.0.113.1:4711", 1, "203.0.113.1"},
		{"IPv6", peer, "2001:db8::1", 1, "2001:db8::1"},
		{"IPv6 in brackets", peer, "[2001:db8::1]", 1, "2001:db8::1"},
		{"IPv6 with a port", peer, "[2001:db8::1]:4711", 1, "2001:db8::1"},
		{"an IPv4-mapped entry is IPv4", peer, "::ffff:203.0.113.1", 1, "203.0.113.1"},
		{"an IPv4-mapped peer is IPv4", "::ffff:10.0.0.9", "", 0, peer},
		{"an IPv4-mapped peer is dropped as IPv4", "::ffff:10.0.0.9", "203.0.113.1,10.0.0.9", 1, "203.0.113.1"},
		{"an unknown peer", "", "203.0.113.1", 1, "203.0.113.1"},
		{"an unknown peer and rubbish at the end: not taken for the peer", "", "203.0.113.1, unknown", 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var peer, want netip.Addr
			if tt.peer != "" {
				peer = netip.MustParseAddr(tt.peer)
			}
			if tt.want != "" {
				want = netip.MustParseAddr(tt.want)
			}
			if got := ForwardedSource(peer, tt.forwardedFor, tt.hops); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}
