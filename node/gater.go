package node

import (
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/dht"
)

// maxNamed bounds the peers that users named since the start, and those that one search wants.
const maxNamed = 4096

// named are the peers that the user asked to meet: bootstrap flags and providers
// in links. They may be dialled at addresses that the network would not dial by
// itself. Beside them it knows those that were found for what the user waits for.
type named struct {
	mu     sync.Mutex
	ids    map[peer.ID]struct{}
	wanted map[peer.ID]int // how many searches for each
}

func newNamed(peers []peer.AddrInfo) *named {
	n := &named{ids: map[peer.ID]struct{}{}, wanted: map[peer.ID]int{}}
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

// wants are the peers that one search has found, for whoever waits for it. One goroutine uses it.
type wants struct {
	n   *named
	ids map[peer.ID]struct{}
}

func (n *named) wants() *wants { return &wants{n, map[peer.ID]struct{}{}} }

func (w *wants) add(id peer.ID) {
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	if _, known := w.ids[id]; !known && len(w.ids) < maxNamed {
		w.ids[id] = struct{}{}
		w.n.wanted[id]++
	}
}

// end says that nobody waits for these any more.
func (w *wants) end() {
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	for id := range w.ids {
		if w.n.wanted[id]--; w.n.wanted[id] == 0 {
			delete(w.n.wanted, id)
		}
	}
	clear(w.ids)
}

// hurry tells how long the dial of a peer may wait for its turn.
func (n *named) hurry(id peer.ID) hurry {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.ids[id]; ok {
		return noWait
	}
	if n.wanted[id] > 0 {
		return someoneWaits
	}
	return nobodyWaits
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
// It is not told until when the dial is wanted, so that it must not wait for long. The swarm's error tells not why a dial is refused:
// see troubleWith.
func (g *gater) InterceptPeerDial(id peer.ID) bool {
	if g.rules.refusal(id) != "" {
		return false
	}
	if g.dials == nil || g.dials.wait(g.named.hurry(id)) {
		return true
	}
	g.dials.refuse(id, time.Now())
	return false
}

func (g *gater) InterceptSecured(_ network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	return g.rules.refusal(id) == ""
}

func (g *gater) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	return g.rules.admit(c), 0
}
