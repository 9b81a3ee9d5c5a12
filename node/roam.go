package node

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multistream"
	"golang.org/x/sync/errgroup"
)

// A machine that changes its address (another Wi-Fi, a new lease) takes its connections with it only in QUIC. Those of TCP are dead,
// but neither end is told: it takes a keep-alive 40 seconds to notice. Here both ends notice within seconds. The one that moved
// sees that an address is no longer its own, drops what was connected from there and calls the peers again. The other one sees
// a peer connect from elsewhere, and tests what it had with it before.

const (
	lookAtAddrs   = 2 * time.Second // between looks at the machine's own addresses
	callAgainFor  = time.Minute     // peers whose connections were dropped are called, until they answer
	callAgainMost = 64              // of these at most
	callsAtOnce   = 8               // calls and tests under way
	callWithin    = 5 * time.Second // a call may take
	proveWithin   = 3 * time.Second // an older connection has to show that it works
)

// roam watches this machine's addresses, and those that peers connect from, until ctx ends.
func (n *Node) roam(ctx context.Context) error {
	var work errgroup.Group
	work.SetLimit(callsAtOnce)
	defer work.Wait()
	watch := &network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		for _, old := range n.elsewhere(c) {
			// Where so much is under way that this has no place, the keep-alive has to notice.
			work.TryGo(func() error { n.prove(ctx, old); return nil })
		}
	}}
	n.host.Network().Notify(watch)
	defer n.host.Network().StopNotify(watch)

	tick := time.NewTicker(lookAtAddrs)
	defer tick.Stop()
	had, _ := ownAddrs()
	lost := map[peer.ID]call{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		have, ok := ownAddrs()
		if !ok {
			continue // says nothing of the addresses
		}
		now := time.Now()
		if slices.ContainsFunc(had, func(a netip.Addr) bool { return !slices.Contains(have, a) }) {
			n.dropStale(have, lost, now)
		}
		had = have
		for p, call := range lost {
			switch {
			case now.After(call.end) || slices.ContainsFunc(n.host.Network().ConnsToPeer(p), func(c network.Conn) bool {
				return !stale(c.LocalMultiaddr(), have) // not one that is still being closed
			}):
				delete(lost, p)
			case slices.ContainsFunc(have, func(a netip.Addr) bool { return !a.IsLoopback() }):
				work.TryGo(func() error { n.callAgain(ctx, peer.AddrInfo{ID: p, Addrs: call.at}); return nil })
			}
		}
	}
}

// call is to be made to a peer whose connections were dropped.
type call struct {
	end time.Time      // not after
	at  []ma.Multiaddr // where it was, besides what the host knows
}

// dropStale closes the connections from addresses that are not this machine's any more, and notes whose they were.
func (n *Node) dropStale(have []netip.Addr, lost map[peer.ID]call, now time.Time) {
	for _, c := range n.host.Network().Conns() {
		if !stale(c.LocalMultiaddr(), have) {
			continue
		}
		n.log.Info("this machine has changed its address: dropping a connection", "peer", c.RemotePeer(), "from", c.LocalMultiaddr())
		if p := c.RemotePeer(); len(lost) < callAgainMost && len(lost[p].at) < callsAtOnce {
			// It may have moved itself, and only its connections tell where it is now: libp2p calls from the port it listens at.
			lost[p] = call{now.Add(callAgainFor), append(lost[p].at, c.RemoteMultiaddr())}
		}
		go c.Close() // may wait for a full socket
	}
}

// stale tells whether a connection's own end is at an address that this machine does not have. It has all of 127.0.0.0/8, though
// one of them is all that it names.
func stale(local ma.Multiaddr, have []netip.Addr) bool {
	ip, ok := addrOf(local)
	return ok && !ip.IsUnspecified() && !ip.IsLoopback() && !slices.Contains(have, ip)
}

// callAgain connects to a peer. That it was not there a moment ago does not count: now we are elsewhere.
func (n *Node) callAgain(ctx context.Context, p peer.AddrInfo) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	if s, ok := n.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(p.ID)
	}
	if err := n.host.Connect(ctx, p); err != nil {
		n.log.Debug("cannot reach a peer from the new address yet", "peer", p.ID, "err", err)
	}
}

// elsewhere are the other connections with the peer of a new one that lead to another machine address than it.
func (n *Node) elsewhere(c network.Conn) (old []network.Conn) {
	at, ok := addrOf(c.RemoteMultiaddr())
	if !ok {
		return nil
	}
	for _, o := range n.host.Network().ConnsToPeer(c.RemotePeer()) {
		if ip, ok := addrOf(o.RemoteMultiaddr()); ok && o != c && ip != at {
			old = append(old, o)
		}
	}
	return old
}

// prove closes a connection unless it carries a word and its answer.
func (n *Node) prove(ctx context.Context, c network.Conn) {
	ctx, cancel := context.WithTimeout(ctx, proveWithin)
	defer cancel()
	s, err := c.NewStream(ctx)
	if err == nil {
		defer s.Reset()
		if err = s.SetDeadline(time.Now().Add(proveWithin)); err == nil {
			err = multistream.SelectProtoOrFail(ping.ID, s)
		}
	}
	if dead(err) && !errors.Is(ctx.Err(), context.Canceled) {
		n.log.Info("a peer has changed its address: dropping its old connection", "peer", c.RemotePeer(), "at", c.RemoteMultiaddr())
		_ = c.Close()
	}
}

// dead tells whether the word and its answer failed because the connection does not carry them. A peer that refuses the stream
// has answered, and where there is no room for one here, nothing was asked.
func dead(err error) bool {
	var no multistream.ErrNotSupported[string]
	var reset *network.StreamError
	switch {
	case err == nil, errors.As(err, &no), errors.Is(err, network.ErrResourceLimitExceeded):
		return false
	case errors.As(err, &reset):
		return !reset.Remote
	}
	return true
}

// ownAddrs are the addresses of this machine, if they can be told.
func ownAddrs() (out []netip.Addr, ok bool) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, false
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, ip.Unmap())
			}
		}
	}
	return out, true
}

// addrOf is the IP address of a connection's end; not that of a relay.
func addrOf(a ma.Multiaddr) (netip.Addr, bool) {
	if _, err := a.ValueForProtocol(ma.P_CIRCUIT); err == nil {
		return netip.Addr{}, false
	}
	ip, err := manet.ToIP(a)
	if err != nil {
		return netip.Addr{}, false
	}
	out, ok := netip.AddrFromSlice(ip)
	return out.Unmap(), ok
}
