package transfer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/transfer/wire"
)

// relayPair is a seed that only a relay without limits leads to: libp2p takes such connections for direct ones.
func relayPair(t *testing.T, leech, seed Config) (from, to *Engine, at peer.AddrInfo) {
	t.Helper()
	open := func(listen libp2p.Option) host.Host {
		h, err := libp2p.New(libp2p.EnableRelay(), listen, libp2p.ResourceManager(&network.NullResourceManager{}), libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		return h
	}
	engine := func(h host.Host, cfg Config) *Engine {
		e := New(h, &memSource{}, cfg)
		ctx, cancel := context.WithCancel(context.Background())
		ran := make(chan error, 1)
		go func() { ran <- e.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-ran })
		return e
	}
	middle, near, far := open(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0")), open(libp2p.NoListenAddrs), open(libp2p.NoListenAddrs)
	service, err := relay.New(middle, relay.WithInfiniteLimits())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { service.Close() })
	info := peer.AddrInfo{ID: middle.ID(), Addrs: middle.Addrs()}
	if err := far.Connect(testContext(t), info); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Reserve(testContext(t), far, info); err != nil {
		t.Fatal(err)
	}
	circuit := ma.Join(middle.Addrs()[0], ma.StringCast("/p2p/"+middle.ID().String()+"/p2p-circuit"))
	return engine(near, leech), engine(far, seed), peer.AddrInfo{ID: far.ID(), Addrs: []ma.Multiaddr{circuit}}
}

// TestRelayedDataNeedsLeave: both sides have to allow it.
func TestRelayedDataNeedsLeave(t *testing.T) {
	const short = 50 * time.Millisecond // for a hole that nobody punches
	t.Run("nobody allows it", func(t *testing.T) {
		from, _, at := relayPair(t, Config{PunchTimeout: short}, Config{})
		if _, err := from.connect(testContext(t), at); !errors.Is(err, ErrRelayed) {
			t.Errorf("%v, not ErrRelayed", err)
		}
	})
	t.Run("the other does not", func(t *testing.T) {
		from, to, at := relayPair(t, Config{PunchTimeout: short, RelayData: true}, Config{})
		if c, err := from.connect(testContext(t), at); err == nil {
			select {
			case <-c.done:
			case <-testContext(t).Done():
				t.Error("the stream stays open")
			}
		}
		to.mu.Lock()
		defer to.mu.Unlock()
		if len(to.conns) > 0 {
			t.Error("serves through a relay without leave")
		}
	})
	t.Run("both do", func(t *testing.T) {
		from, _, at := relayPair(t, Config{PunchTimeout: short, RelayData: true}, Config{RelayData: true})
		c, err := from.connect(testContext(t), at)
		if err != nil {
			t.Fatal(err)
		}
		if !relayed(c.s.Conn()) || c.s.Protocol() != wire.ID {
			t.Errorf("%s over %s", c.s.Protocol(), c.s.Conn().RemoteMultiaddr())
		}
	})
}

// TestDirectConnectionIsWaitedFor: one that comes about while a relay is all there is gets the stream.
func TestDirectConnectionIsWaitedFor(t *testing.T) {
	from, to, at := relayPair(t, Config{PunchTimeout: time.Minute}, Config{})
	if err := from.host.Network().Listen(ma.StringCast("/ip4/127.0.0.1/tcp/0")); err != nil {
		t.Fatal(err)
	}
	met := make(chan struct{}, 1)
	to.host.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		if relayed(c) {
			met <- struct{}{}
		}
	}})
	back := make(chan error, 1)
	go func() { // as hole punching does
		<-met
		back <- to.host.Connect(network.WithForceDirectDial(context.Background(), "test"), peer.AddrInfo{ID: from.host.ID(), Addrs: from.host.Addrs()})
	}()
	c, err := from.connect(testContext(t), at)
	if err := <-back; err != nil {
		t.Fatal(err)
	}
	if err != nil || relayed(c.s.Conn()) {
		t.Errorf("connected: %v", err)
	}
}
