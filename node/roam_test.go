package node

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multistream"
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

// TestDead tells what a connection that carries nothing gives from other ways of getting no answer.
func TestDead(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"answered", nil, false},
		{"answered no", multistream.ErrNotSupported[string]{Protos: []string{ping.ID}}, false},
		{"reset by the peer", fmt.Errorf("read: %w", &network.StreamError{Remote: true}), false},
		{"no room here", fmt.Errorf("open: %w", network.ErrResourceLimitExceeded), false},
		{"no answer", os.ErrDeadlineExceeded, true},
		{"no stream in time", fmt.Errorf("timed out: %w", context.DeadlineExceeded), true},
		{"gone", io.EOF, true},
	} {
		if got := dead(tt.err); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// TestProveKeepsWhatAnswers has a peer that does not speak ping show that its connection works.
func TestProveKeepsWhatAnswers(t *testing.T) {
	n, _ := startNode(t, t.TempDir())
	h := bareHost(t)
	h.RemoveStreamHandler(ping.ID)
	if err := n.host.Connect(t.Context(), peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}); err != nil {
		t.Fatal(err)
	}
	c := n.host.Network().ConnsToPeer(h.ID())[0]
	if n.prove(t.Context(), c); c.IsClosed() {
		t.Error("the connection was closed")
	}
}
