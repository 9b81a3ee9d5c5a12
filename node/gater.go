package node

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/dht"
)

// maxNamed bounds the peers that users named since the start.
const maxNamed = 4096

// named are the peers that the user asked to meet: bootstrap flags and providers
// in links. They may be dialled at addresses that the network would not dial by
// itself.
type named struct {
	mu  sync.Mutex
	ids map[peer.ID]struct{}
}

func newNamed(peers []peer.AddrInfo) *named {
	n := &named{ids: map[peer.ID]struct{}{}}
	n.add(peers)
	return n
}

func (n *named) add(peers []peer.AddrInfo) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range peers {
		if len(n.ids) < maxNamed {
			n.ids[p.ID] = struct{}{}
		}
	}
}

func (n *named) has(id peer.ID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.ids[id]
	return ok
}

// gater keeps the node inside its network, and away from peers that the user bans. A
// loopback network is closed both ways; elsewhere whoever reaches us may, and only our
// own dials are chosen. It is asked before any protocol is spoken: as soon as it is
// proven who the peer is.
type gater struct {
	profile dht.Profile
	named   *named
	rules   *peerRules
	dials   *pacer // nil: as fast as asked
}

func (g *gater) loopback() bool { return g.profile.Reach == dht.Loopback }

func (g *gater) InterceptAddrDial(id peer.ID, a ma.Multiaddr) bool {
	return g.rules.refusal(id) == "" && (g.profile.AllowDial(a) || !g.loopback() && g.named.has(id))
}

func (g *gater) InterceptAccept(c network.ConnMultiaddrs) bool {
	return !g.loopback() || g.profile.AllowDial(c.RemoteMultiaddr())
}

// InterceptPeerDial is asked before every dial of a peer that is not connected, whoever wants it: lookups, fetches, the DHT.
func (g *gater) InterceptPeerDial(id peer.ID) bool {
	return g.rules.refusal(id) == "" && (g.dials == nil || g.dials.wait(g.named.has(id)))
}

func (g *gater) InterceptSecured(_ network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	return g.rules.refusal(id) == ""
}

func (g *gater) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	return g.rules.admit(c), 0
}
