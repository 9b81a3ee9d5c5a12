package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	p2p "github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/multiformats/go-multistream"

	"shoal/transfer/wire"
)

// Lanes. A connection is read, and written, by one goroutine that decrypts and
// copies: about one core's worth. To a peer that is faster than that a session opens
// a few more, the lanes 1 to n; lane 0 is the host's own connection. A host keeps to
// one connection a peer, so each lane lives in a swarm of its own beside the host's,
// with the same identity, transport, limits and gater and nothing that listens. What
// the peer opens on a lane (it asks who we are, for one) is handled by the host.

// errNoLane is why a lane is not opened where nothing is wrong.
var errNoLane = errors.New("no further connection to this peer")

// laneDialer opens connections beside the host's. The zero value but for host is ready.
type laneDialer struct {
	host    host.Host
	gater   connmgr.ConnectionGater
	traffic metrics.Reporter

	mu     sync.Mutex
	swarms map[int]*p2p.Swarm // by lane, made when first used
	closed bool
}

// dial opens a stream on a further connection to the peer of an open one.
func (d *laneDialer) dial(ctx context.Context, lane int, open network.Conn) (network.Stream, error) {
	main, ok := d.host.Network().(*p2p.Swarm)
	if !ok {
		return nil, errNoLane
	}
	p := open.RemotePeer()
	addr := d.addr(main, open)
	if addr == nil {
		return nil, errNoLane
	}
	s, err := d.swarm(lane, main, main.TransportForDialing(addr))
	if err != nil {
		return nil, err
	}
	s.Peerstore().AddAddr(p, addr, peerstore.TempAddrTTL)
	c, err := s.DialPeer(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("dial lane %d: %w", lane, err)
	}
	stream, err := swapStream(ctx, c)
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("open a stream on lane %d: %w", lane, err)
	}
	return stream, nil
}

// swapStream is what Host.NewStream does, on a connection of our choice.
func swapStream(ctx context.Context, c network.Conn) (network.Stream, error) {
	s, err := c.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	if end, ok := ctx.Deadline(); ok {
		err = s.SetDeadline(end)
	}
	if err == nil {
		err = multistream.SelectProtoOrFail(wire.ID, s)
	}
	if err == nil {
		err = s.SetProtocol(wire.ID)
	}
	if err == nil {
		err = s.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = s.Reset()
		return nil, err
	}
	return s, nil
}

// addr is where the peer of a plain TCP connection can be dialled once more: where it
// was dialled, or else where it listens at the same IP address. Nil: nowhere.
func (d *laneDialer) addr(main *p2p.Swarm, open network.Conn) ma.Multiaddr {
	at := open.RemoteMultiaddr()
	ip, err := manet.ToIP(at)
	if err != nil || !plainTCP(at) || open.Stat().Limited {
		return nil
	}
	addrs := []ma.Multiaddr{at}
	if open.Stat().Direction == network.DirInbound {
		addrs = d.host.Peerstore().Addrs(open.RemotePeer())
	}
	for _, a := range addrs {
		other, err := manet.ToIP(a)
		if err == nil && other.Equal(ip) && plainTCP(a) && main.CanDial(open.RemotePeer(), a) {
			return a
		}
	}
	return nil
}

// plainTCP tells whether an address is an IP address and a TCP port and nothing more.
func plainTCP(a ma.Multiaddr) bool {
	ps := a.Protocols()
	return len(ps) == 2 && ps[1].Code == ma.P_TCP
}

// swarm returns the lane's swarm.
func (d *laneDialer) swarm(lane int, main *p2p.Swarm, t transport.Transport) (*p2p.Swarm, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	if s := d.swarms[lane]; s != nil {
		return s, nil
	}
	if !slices.Equal(t.Protocols(), []int{ma.P_TCP}) {
		return nil, errNoLane
	}
	peers, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, fmt.Errorf("lane %d: %w", lane, err)
	}
	opts := []p2p.Option{p2p.WithResourceManager(main.ResourceManager())}
	if d.gater != nil {
		opts = append(opts, p2p.WithConnectionGater(d.gater))
	}
	if d.traffic != nil {
		opts = append(opts, p2p.WithMetrics(d.traffic))
	}
	s, err := p2p.NewSwarm(main.LocalPeer(), peers, eventbus.NewBus(), opts...)
	if err == nil {
		err = s.AddTransport(t)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lane %d: %w", lane, err), peers.Close())
	}
	s.SetStreamHandler(main.StreamHandler())
	if d.swarms == nil {
		d.swarms = make(map[int]*p2p.Swarm)
	}
	d.swarms[lane] = s
	return s, nil
}

// close closes all lanes. The transport is the host's and stays: a TCP transport has
// no Close that a swarm could call.
func (d *laneDialer) close() {
	d.mu.Lock()
	swarms := d.swarms
	d.swarms, d.closed = nil, true
	d.mu.Unlock()
	for _, s := range swarms {
		_ = s.Close() // never fails
		_ = s.Peerstore().Close()
	}
}
