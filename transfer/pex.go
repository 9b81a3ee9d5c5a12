package transfer

import (
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/transfer/wire"
)

// maxTold bounds how many peers one subscriber is ever told of.
const maxTold = 1000

// introduce tells a new member at once who else is there; the others hear of it
// at the next exchange.
func (w *swarms) introduce(sv *serve) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.roots[sv.root]; s != nil {
		w.exchange(s, sv)
	}
}

func (w *swarms) exchangeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.roots {
		if !s.moved {
			continue
		}
		s.moved = false
		for sv := range s.members {
			if !w.exchange(s, sv) {
				s.moved = true
			}
		}
	}
}

// exchange tells one member of peers it has not been told of: the other members
// and those our own fetch uses. False when some are left for the next time. mu is held.
func (w *swarms) exchange(s *swarm, sv *serve) (all bool) {
	m := s.members[sv]
	if m == nil || !sv.peers {
		return true
	}
	var peers []wire.Peer
	tell := func(p peer.ID) {
		if _, told := m.told[p]; told || p == sv.c.peer || p == w.e.host.ID() || len(m.told) >= maxTold {
			return
		}
		if len(peers) == wire.MaxPeers {
			all = false
			return
		}
		m.told[p] = struct{}{}
		peers = append(peers, wire.Peer{ID: string(p), Addrs: w.e.addrsFor(p, sv.c)})
	}
	all = true
	for other := range s.members {
		tell(other.c.peer)
	}
	for p := range s.providers {
		tell(p)
	}
	if len(peers) > 0 {
		sv.c.send(wire.Peers{Handle: sv.handle, Peers: peers})
	}
	return all
}

// addrsFor returns addresses of p that mean something to the peer of c: loopback
// ones only on this machine, private ones only to peers met on a private address.
func (e *Engine) addrsFor(p peer.ID, c *conn) [][]byte {
	remote := c.s.Conn().RemoteMultiaddr()
	private := c.loopback || manet.IsPrivateAddr(remote)
	var out [][]byte
	for _, a := range e.host.Peerstore().Addrs(p) {
		switch {
		case manet.IsIPLoopback(a) && !c.loopback,
			manet.IsPrivateAddr(a) && !private,
			manet.IsIP6LinkLocal(a), manet.IsIPUnspecified(a),
			len(a.Bytes()) > wire.MaxAddrBytes:
			continue
		}
		if out = append(out, a.Bytes()); len(out) == wire.MaxAddrs {
			break
		}
	}
	return out
}

// hints turns a Peers message into candidates. Loopback addresses count only from
// a peer on this machine.
func (e *Engine) hints(m wire.Peers, c *conn) []peer.AddrInfo {
	var out []peer.AddrInfo
	for _, p := range m.Peers {
		id, err := peer.IDFromBytes([]byte(p.ID))
		if err != nil || id == e.host.ID() || id == c.peer {
			continue
		}
		ai := peer.AddrInfo{ID: id}
		for _, b := range p.Addrs {
			a, err := ma.NewMultiaddrBytes(b)
			if err != nil || manet.IsIPUnspecified(a) || manet.IsIPLoopback(a) && !c.loopback {
				continue
			}
			ai.Addrs = append(ai.Addrs, a)
		}
		out = append(out, ai)
	}
	return out
}
