package transfer

import (
	"time"

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
	for root, s := range w.roots {
		for p, since := range s.left {
			if time.Since(since) > leftFor {
				delete(s.left, p)
			}
		}
		w.drop(root, s)
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
// but readers, those our own fetch uses, and those that left lately. False when some are left for the next time. mu is held.
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
		if !other.reads {
			tell(other.c.peer)
		}
	}
	for p := range s.providers {
		tell(p)
	}
	for p := range s.left {
		tell(p)
	}
	if len(peers) > 0 {
		sv.c.send(wire.Peers{Handle: sv.handle, Peers: peers})
	}
	return all
}

// addrsFor returns addresses of p for the peer of c.
func (e *Engine) addrsFor(p peer.ID, c *conn) [][]byte {
	return tellable(e.host.Peerstore().Addrs(p), c.s.Conn().RemoteMultiaddr())
}

// tellable picks the addresses that mean something to a peer met at an address:
// loopback ones only on this machine, private ones only on a private network.
func tellable(addrs []ma.Multiaddr, to ma.Multiaddr) [][]byte {
	loopback := manet.IsIPLoopback(to)
	private := loopback || manet.IsPrivateAddr(to)
	var out [][]byte
	for _, a := range addrs {
		if len(out) == wire.MaxAddrs {
			break
		}
		switch {
		case manet.IsIPLoopback(a) && !loopback,
			manet.IsPrivateAddr(a) && !manet.IsIPLoopback(a) && !private,
			manet.IsIP6LinkLocal(a), manet.IsIPUnspecified(a),
			len(a.Bytes()) > wire.MaxAddrBytes:
			continue
		}
		out = append(out, a.Bytes())
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
