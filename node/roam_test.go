package node

import (
	"net/netip"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

// TestStale tells connections whose own end has gone from those that live.
func TestStale(t *testing.T) {
	have := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("fd00::5")}
	for _, tt := range []struct {
		name, local string
		want        bool
	}{
		{"ours", "/ip4/10.0.0.5/tcp/4474", false},
		{"ours before", "/ip4/10.0.0.1/tcp/4474", true},
		{"IPv6, ours", "/ip6/fd00::5/tcp/4474", false},
		{"IPv6, ours before", "/ip6/fd00::1/tcp/4474", true},
		{"loopback", "/ip4/127.0.0.1/tcp/4474", false},
		{"loopback, another", "/ip4/127.0.0.2/tcp/4474", false},
		{"loopback, IPv6", "/ip6/::1/tcp/4474", false},
		{"QUIC on a socket for all addresses", "/ip4/0.0.0.0/udp/4474/quic-v1", false},
		{"through a relay", "/ip4/10.9.9.9/tcp/1/p2p/12D3KooWFw3kDnmm3uEypyUWsYiZXSDBeT9nazudvGMziKpqRokA/p2p-circuit", false},
	} {
		if got := stale(ma.StringCast(tt.local), have); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
