package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

const (
	punchDial    = 4 * time.Second  // for one attempt to dial directly or to punch a hole
	relayTold    = 30 * time.Second // how long one search for relays lasts
	relayLook    = 2 * time.Second  // between looks at who is connected
	relayWait    = 15 * time.Second // for a choice of relays, before the first one met will do
	relayBackoff = 5 * time.Minute  // after a relay refused
	natTests     = 30               // AutoNAT tests done for others a minute; 3 for each
)

// natOptions are what libp2p does about NATs: it asks the router for a port (UPnP, NAT-PMP), has other peers test which of our
// addresses they reach and does the same for them (AutoNAT), speaks through relays, and punches holes (DCUtR).
func natOptions(s settings) []libp2p.Option {
	if !s.profile.NAT {
		return []libp2p.Option{libp2p.DisableRelay()}
	}
	return []libp2p.Option{
		libp2p.NATPortMap(),
		libp2p.EnableNATService(),
		libp2p.AutoNATServiceRateLimit(natTests, 3, time.Minute),
		libp2p.EnableAutoNATv2(),
		libp2p.EnableRelay(),
		libp2p.EnableHolePunching(holepunch.DirectDialTimeout(punchDial), holepunch.WithTracer(punchLog{s.log})),
	}
}

// punchLog writes down how attempts at direct connections went.
type punchLog struct{ log *slog.Logger }

func (l punchLog) Trace(e *holepunch.Event) {
	switch ev := e.Evt.(type) {
	case *holepunch.EndHolePunchEvt:
		l.log.Debug("hole punching ended", "peer", e.Remote, "success", ev.Success, "took", ev.EllapsedTime, "err", ev.Error)
	case *holepunch.DirectDialEvt:
		l.log.Debug("direct dial beside a relay ended", "peer", e.Remote, "success", ev.Success, "took", ev.EllapsedTime, "err", ev.Error)
	case *holepunch.ProtocolErrorEvt:
		l.log.Debug("hole punching not possible", "peer", e.Remote, "err", ev.Error)
	}
}

// reach holds what makes a node reachable through relays, and others through this node, beside the host itself.
type reach struct {
	auto    *autorelay.AutoRelay // nil without NAT traversal
	source  relaySource
	service *relay.Relay // nil unless asked for
}

// openReach starts it on a host; nil where there is nothing to do.
func openReach(h host.Host, s settings) (*reach, error) {
	if !s.profile.NAT && !s.reach.relayService {
		return nil, nil
	}
	r := &reach{source: relaySource{host: h, given: s.reach.relays}}
	var err error
	if s.reach.relayService {
		if r.service, err = relay.New(h, relay.WithResources(s.reach.relayLimits)); err != nil {
			return nil, fmt.Errorf("relay service: %w", err)
		}
	}
	if s.profile.NAT {
		err = r.seekRelays(h)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// seekRelays starts AutoRelay, which keeps reservations with two relays while AutoNAT says that nobody reaches us. Whoever named
// relays need not wait for AutoNAT's verdict: saying that it is unknown starts it.
func (r *reach) seekRelays(h host.Host) error {
	options := []autorelay.Option{
		autorelay.WithPeerSource(r.source.peers), autorelay.WithNumRelays(2), autorelay.WithMinInterval(relayTold),
		autorelay.WithMinCandidates(2), autorelay.WithBootDelay(relayWait), autorelay.WithBackoff(relayBackoff),
	}
	if len(r.source.given) > 0 {
		options = append(options, autorelay.WithMinCandidates(1), autorelay.WithBootDelay(0))
	}
	auto, err := autorelay.NewAutoRelay(h, options...)
	if err != nil {
		return fmt.Errorf("relay client: %w", err)
	}
	auto.Start()
	r.auto = auto
	if len(r.source.given) == 0 {
		return nil
	}
	emitter, err := h.EventBus().Emitter(new(event.EvtLocalReachabilityChanged))
	if err != nil {
		return fmt.Errorf("relay client: %w", err)
	}
	return errors.Join(emitter.Emit(event.EvtLocalReachabilityChanged{Reachability: network.ReachabilityUnknown}), emitter.Close())
}

// Close ends it: the search for relays first, then what that has started. The host is the caller's to close, afterwards.
func (r *reach) Close() error {
	var errs []error
	if r.auto != nil {
		errs = append(errs, r.auto.Close())
	}
	r.source.searches.Wait()
	if r.service != nil {
		errs = append(errs, r.service.Close())
	}
	return errors.Join(errs...)
}

// relaySource names peers that may be relays to AutoRelay: those that the user gave, then those met on the internet that offer it.
type relaySource struct {
	host     host.Host
	given    []peer.AddrInfo
	searches sync.WaitGroup
}

// peers is an autorelay.PeerSource. It tells of peers as they are met, for a while, and of each once.
func (s *relaySource) peers(ctx context.Context, most int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	s.searches.Go(func() {
		defer close(out)
		ctx, cancel := context.WithTimeout(ctx, relayTold)
		defer cancel()
		look := time.NewTicker(relayLook)
		defer look.Stop()
		told := map[peer.ID]bool{}
		for {
			for _, p := range append(s.given[:len(s.given):len(s.given)], s.met()...) {
				if told[p.ID] {
					continue
				}
				if len(told) == most {
					return
				}
				told[p.ID] = true
				select {
				case out <- p:
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-look.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return out
}

// met are the peers that we are connected to at a public address and that say they are relays.
func (s *relaySource) met() (out []peer.AddrInfo) {
	for _, c := range s.host.Network().Conns() {
		at, id := c.RemoteMultiaddr(), c.RemotePeer()
		if isRelayed(at) || !manet.IsPublicAddr(at) {
			continue
		}
		if has, err := s.host.Peerstore().FirstSupportedProtocol(id, proto.ProtoIDv2Hop); err == nil && has != "" {
			out = append(out, peer.AddrInfo{ID: id, Addrs: s.host.Peerstore().Addrs(id)})
		}
	}
	return out
}

// isRelayed tells whether an address leads through a relay.
func isRelayed(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}
