package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/transfer/wire"
)

// ErrRelayed is why a peer is not used that only a relay leads to: relays are other people's machines, lent for what it takes
// to get a direct connection. [Config.RelayData] allows more.
var ErrRelayed = errors.New("only a relay leads to it, and data does not go through relays")

// swapStreamTo connects to a peer and opens a stream. Where only a relay leads to it, both sides are punching holes into their NATs
// meanwhile: the direct connection that may come of it is waited for, a bounded time.
func (e *Engine) swapStreamTo(ctx context.Context, ai peer.AddrInfo) (network.Stream, error) {
	e.redial(ai.ID)
	ctx = network.WithAllowLimitedConn(ctx, "swap") // counts as connected; what may flow is decided here
	dial, cancel := context.WithTimeout(ctx, e.cfg.DialTimeout)
	defer cancel()
	if err := e.host.Connect(dial, ai); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", ai.ID, err)
	}
	direct := awaitDirect(ctx, e.host.Network(), ai.ID, e.cfg.PunchTimeout)
	if !direct && !e.cfg.RelayData {
		return nil, fmt.Errorf("connect to %s: %w", ai.ID, ErrRelayed)
	}
	open, cancel := context.WithTimeout(ctx, e.cfg.DialTimeout)
	defer cancel()
	s, err := e.host.NewStream(open, ai.ID, wire.ID)
	if err != nil {
		return nil, fmt.Errorf("open a stream to %s: %w", ai.ID, err)
	}
	if !e.mayCarry(s) { // the direct connection has gone again
		_ = s.ResetWithError(network.StreamGated)
		return nil, fmt.Errorf("open a stream to %s: %w", ai.ID, ErrRelayed)
	}
	return s, nil
}

// mayCarry tells whether chunks may go over a stream.
func (e *Engine) mayCarry(s network.Stream) bool { return e.cfg.RelayData || !relayed(s.Conn()) }

// relayed tells whether a connection goes through a relay. That it is not limited says nothing: a relay may set no limits.
func relayed(c network.ConnMultiaddrs) bool {
	_, err := c.RemoteMultiaddr().ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

// awaitDirect waits until a connection to a peer is direct, at most for a while.
func awaitDirect(ctx context.Context, n network.Network, p peer.ID, atMost time.Duration) bool {
	came := make(chan struct{}, 1)
	watch := &network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		if c.RemotePeer() == p && !relayed(c) {
			select {
			case came <- struct{}{}:
			default:
			}
		}
	}}
	n.Notify(watch)
	defer n.StopNotify(watch)
	for _, c := range n.ConnsToPeer(p) {
		if !relayed(c) {
			return true
		}
	}
	limit := time.NewTimer(atMost)
	defer limit.Stop()
	select {
	case <-came:
		return true
	case <-limit.C:
	case <-ctx.Done():
	}
	return false
}
