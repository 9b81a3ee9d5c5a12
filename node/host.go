package node

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	connsPerAddress = 128 // from one public address or /56: a lab or an office behind one NAT
	muxFrame        = 256 << 10

	// muxWindow is how much may be under way on a stream from the start. yamux doubles
	// a window when round trips limit it, but forgets to announce some of what it adds
	// (v5.1.0): windows that grew stay half closed. This one fills 100 Mbit/s over 300 ms.
	muxWindow = 4 << 20

	// streamsPerPeer bounds the streams of one protocol that one peer may open: each
	// can make us hold muxWindow.
	streamsPerPeer = 32

	quicDelay  = 250 * time.Millisecond // head start of TCP, which is faster where both work
	relayDelay = time.Second            // of all direct addresses over those of relays
)

// newHost makes the host and listens.
func newHost(s settings, key crypto.PrivKey, traffic metrics.Reporter, gate *gater) (host.Host, error) {
	limits, err := resourceManager(s.caps)
	if err != nil {
		return nil, err
	}
	conns, err := connmgr.NewConnManager(s.caps.connsLow, s.caps.connsHigh, connmgr.WithGracePeriod(30*time.Second))
	if err != nil {
		return nil, fmt.Errorf("connection manager: %w", err)
	}
	transports, err := transportsFor(s.profile)
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(append(append(transports, natOptions(s)...),
		libp2p.Identity(key),
		libp2p.ListenAddrStrings(s.listen...),
		libp2p.ResourceManager(limits),
		libp2p.ConnectionManager(conns),
		libp2p.ConnectionGater(gate),
		libp2p.AddrsFactory(s.advertise),
		libp2p.UserAgent("shoal/"+Version()),
		libp2p.BandwidthReporter(traffic),
		libp2p.DisableMetrics(),
	)...)
	if err != nil {
		return nil, fmt.Errorf("start listening: %w", err)
	}
	return h, nil
}

// TransportOptions are the transports a node speaks, tuned for bulk data: TCP
// with TLS first, QUIC where TCP does not get through. The benchmarks use them
// for their bare streams, so that a comparison is of the same thing.
func TransportOptions() []libp2p.Option { return transports(false) }

// transports is TransportOptions. sharedPort lets TCP connections leave from the port that is listened on, which is how holes
// are punched in NATs; another program could then listen on that port too.
func transports(sharedPort bool) []libp2p.Option {
	return append(streamTransports(sharedPort), libp2p.Transport(quic.NewTransport))
}

// streamTransports is transports without QUIC.
func streamTransports(sharedPort bool) []libp2p.Option {
	var alone []any
	if !sharedPort {
		alone = append(alone, tcp.DisableReuseport())
	}
	mux := *yamux.DefaultTransport
	mux.MaxMessageSize = muxFrame
	mux.InitialStreamWindowSize = muxWindow
	return []libp2p.Option{
		libp2p.Transport(tcp.NewTCPTransport, alone...),
		libp2p.Security(libp2ptls.ID, newCorkedTLS),
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, &mux),
		libp2p.SwarmOpts(swarm.WithDialRanker(rankTCPFirst)),
	}
}

// rankTCPFirst dials TCP at once, everything else a little later, and through relays only when that had its chance.
func rankTCPFirst(addrs []ma.Multiaddr) []network.AddrDelay {
	ranked := make([]network.AddrDelay, len(addrs))
	soonest := relayDelay
	for i, a := range addrs {
		ranked[i] = network.AddrDelay{Addr: a}
		if isRelayed(a) {
			ranked[i].Delay = relayDelay
		} else if _, err := a.ValueForProtocol(ma.P_TCP); err != nil {
			ranked[i].Delay = quicDelay
		}
		soonest = min(soonest, ranked[i].Delay)
	}
	for i := range ranked {
		ranked[i].Delay -= soonest
	}
	return ranked
}

// resourceManager scales libp2p's limits to the machine, caps connections, and lifts the two that
// refuse peers sharing an address: a testnet, a lab or a LAN is many peers on
// few addresses.
func resourceManager(c caps) (network.ResourceManager, error) {
	scaling := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&scaling)
	scaling.ProtocolPeerBaseLimit.StreamsInbound = streamsPerPeer
	scaling.ProtocolPeerLimitIncrease.StreamsInbound = 0
	unlimited := func(prefixes ...string) (conns []rcmgr.NetworkPrefixLimit, rates []rate.PrefixLimit) {
		for _, p := range prefixes {
			prefix := netip.MustParsePrefix(p)
			conns = append(conns, rcmgr.NetworkPrefixLimit{Network: prefix, ConnCount: math.MaxInt})
			rates = append(rates, rate.PrefixLimit{Prefix: prefix})
		}
		return conns, rates
	}
	conns4, rates4 := unlimited("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")
	conns6, rates6 := unlimited("::1/128", "fc00::/7", "fe80::/10")
	perAddress := rate.Limit{RPS: 2, Burst: connsPerAddress}
	limits := rcmgr.PartialLimitConfig{System: rcmgr.ResourceLimits{
		Conns: rcmgr.LimitVal(c.connsMost), ConnsInbound: rcmgr.LimitVal(c.connsHigh), ConnsOutbound: rcmgr.LimitVal(c.connsMost),
	}}.Build(scaling.AutoScale())
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits),
		rcmgr.WithNetworkPrefixLimit(conns4, conns6),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: connsPerAddress}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: connsPerAddress}}),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: append(rates4, rates6...),
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: perAddress}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: perAddress}},
				GracePeriod:      time.Minute,
			},
		}),
		rcmgr.WithMetricsDisabled())
	if err != nil {
		return nil, fmt.Errorf("resource manager: %w", err)
	}
	return m, nil
}
