package node

import (
	"fmt"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/host/autonat"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"shoal/node/api"
)

// relayedMessage is what a fetch says when all who have it are behind NATs that no hole could be punched into.
const relayedMessage = "who has it is reached only through a relay, which carries no data: hole punching has not succeeded (yet). " +
	"Forward a port on either side, or allow it on both with --relay-data on"

// reachFacts is what is known of how this node is reached.
type reachFacts struct {
	nat       bool                 // anybody looks into it
	verdict   network.Reachability // of AutoNAT on the node as a whole
	reachable []ma.Multiaddr       // tested addresses
	tested    bool                 // some address was found not reachable
	addrs     []ma.Multiaddr       // what others are told
	announced []ma.Multiaddr       // of these, the user's own
	ports     []string             // "TCP 4474", that we listen on
}

// reachability tells how this node is reached, at once.
func (n *Node) reachability() api.Reach {
	f := reachFacts{nat: n.set.profile.NAT, addrs: n.host.Addrs(), announced: n.set.reach.announce, ports: portsOf(n.host.Network().ListenAddresses())}
	if h, ok := n.host.(interface{ GetAutoNat() autonat.AutoNAT }); ok && f.nat {
		f.verdict = h.GetAutoNat().Status()
	}
	if h, ok := n.host.(interface {
		ConfirmedAddrs() (reachable, unreachable, unknown []ma.Multiaddr)
	}); ok && f.nat {
		var failed []ma.Multiaddr
		f.reachable, failed, _ = h.ConfirmedAddrs()
		f.tested = len(failed) > 0
	}
	return f.words()
}

// words puts the facts into words, with the next step.
func (f reachFacts) words() api.Reach {
	forward := "forward " + strings.Join(f.ports, " and ") + " on your router to this machine"
	if len(f.ports) == 0 {
		forward = "listen on a port of its own (--listen) and forward it on your router to this machine"
	}
	relays, via := relaysIn(f.addrs)
	direct := f.reachable
	if len(direct) == 0 && f.verdict == network.ReachabilityPublic {
		direct = ma.FilterAddrs(f.addrs, func(a ma.Multiaddr) bool { return manet.IsPublicAddr(a) && !isRelayed(a) })
		if len(f.announced) > 0 {
			direct = f.announced
		}
	}
	switch {
	case !f.nat:
		return api.Reach{State: api.ReachNetwork, Text: "by the peers of this network, at the addresses above; NATs are not looked into (--nat on)"}
	case len(direct) > 0:
		return api.Reach{State: api.ReachInternet, Addrs: texts(direct), Text: "from the internet, at " + strings.Join(texts(direct), " and ")}
	case len(relays) > 0:
		return api.Reach{
			State: api.ReachRelay, Relays: relays,
			Text: fmt.Sprintf("behind a NAT: peers reach it by hole punching through the relay %s", via),
			Next: "for direct connections from everywhere, " + forward,
		}
	case f.verdict == network.ReachabilityPrivate || f.tested:
		return api.Reach{
			State: api.ReachNone, Text: "not from the internet: it is behind a NAT or firewall, and no relay is found yet",
			Next: forward + ", or name a relay with --relay ADDR",
		}
	}
	return api.Reach{
		State: api.ReachUnknown, Text: "not known yet: no peer on the internet has tried",
		Next: "wait a minute; if it stays so, look whether there are peers (shoal peers), or name some with --bootstrap",
	}
}

// relaysIn are the peer IDs of the relays that lead to us, and the first one with an address of it.
func relaysIn(addrs []ma.Multiaddr) (ids []string, first string) {
	for _, a := range addrs {
		if !isRelayed(a) {
			continue
		}
		id, err := a.ValueForProtocol(ma.P_P2P)
		if err != nil || slices.Contains(ids, id) {
			continue
		}
		if ids = append(ids, id); len(ids) == 1 {
			at, _ := ma.SplitFunc(a, func(c ma.Component) bool { return c.Protocol().Code == ma.P_P2P })
			first = fmt.Sprintf("%s at %s", id, at)
		}
	}
	return ids, first
}

// portsOf are the ports to forward, like "TCP 4474".
func portsOf(listen []ma.Multiaddr) (out []string) {
	for _, p := range []struct {
		code int
		name string
	}{{ma.P_TCP, "TCP"}, {ma.P_UDP, "UDP"}} {
		for _, a := range listen {
			port, err := a.ValueForProtocol(p.code)
			if err != nil || isRelayed(a) || manet.IsIPLoopback(a) {
				continue
			}
			if s := p.name + " port " + port; !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

func texts(addrs []ma.Multiaddr) []string {
	out := make([]string, len(addrs))
	for i, a := range addrs {
		out[i] = a.String()
	}
	return out
}
