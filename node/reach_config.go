package node

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/dht"
)

// Reach says how a node is found and reached, where that differs from its network's profile. The zero value changes nothing.
type Reach struct {
	DHTPrefix    string   // of the DHT's protocol, e.g. "/shoal/office"; "": the profile's
	Announce     []string // multiaddrs to advertise besides those we know of: a port forwarded by hand, a name
	MDNS         string   // "on" or "off"; "": the profile's
	NAT          string   // the same: port mapping, AutoNAT, relays, hole punching
	Relays       []string // multiaddrs with /p2p/ of relays to be reached through, before any that are met
	RelayData    bool     // chunks may go through relays where no direct connection comes about
	RelayService bool     // be a relay for others
	RelayLimits  string   // of that service: "reservations=128 data=128KiB time=2m"; what is not named keeps libp2p's default, which these are
}

// reachSettings is a Reach checked.
type reachSettings struct {
	announce     []ma.Multiaddr
	relays       []peer.AddrInfo
	relayData    bool
	relayService bool
	relayLimits  relay.Resources
}

// apply changes the profile and checks the rest against it.
func (r Reach) apply(p *dht.Profile) (out reachSettings, err error) {
	out.relayData, out.relayService = r.RelayData, r.RelayService
	if r.DHTPrefix != "" {
		if !strings.HasPrefix(r.DHTPrefix, "/") || strings.HasSuffix(r.DHTPrefix, "/") || len(r.DHTPrefix) > 100 {
			return out, fmt.Errorf("DHT prefix %q: want the form /name", r.DHTPrefix)
		}
		p.Prefix = protocol.ID(r.DHTPrefix)
	}
	if p.MDNS, err = onOff("mDNS", r.MDNS, p.MDNS); err != nil {
		return out, err
	}
	if p.NAT, err = onOff("NAT traversal", r.NAT, p.NAT); err != nil {
		return out, err
	}
	if _, private := p.PrivateName(); p.MDNS && p.ServiceTag == "" && !private { // a private network's comes of its key
		p.ServiceTag = dht.LAN().ServiceTag
	}
	if p.Reach == dht.Loopback && (p.NAT || p.MDNS) {
		return out, fmt.Errorf("the network %s is this machine alone: mDNS and NAT traversal would go beyond it", p.Name)
	}
	for _, a := range r.Announce {
		addr, err := ma.NewMultiaddr(a)
		if err != nil {
			return out, fmt.Errorf("announced address %q (want e.g. /ip4/192.0.2.1/tcp/4474): %w", a, err)
		}
		if !p.AllowDial(addr) {
			return out, fmt.Errorf("announced address %s: nobody on the network %s would dial it", a, p.Name)
		}
		out.announce = append(out.announce, addr)
	}
	if out.relays, err = parsePeers(r.Relays); err != nil {
		return out, fmt.Errorf("relay address %w", err)
	}
	if len(out.relays) > 0 && !p.NAT {
		return out, fmt.Errorf("relays are used by NAT traversal, which is off on the network %s: turn it on with --nat on", p.Name)
	}
	out.relayLimits, err = parseRelayLimits(r.RelayLimits)
	return out, err
}

// onOff reads a switch.
func onOff(what, v string, initial bool) (bool, error) {
	switch v {
	case "":
		return initial, nil
	case "on", "off":
		return v == "on", nil
	}
	return false, fmt.Errorf("%s is on or off, not %q", what, v)
}

// parseRelayLimits reads the limits of the relay service.
func parseRelayLimits(text string) (relay.Resources, error) {
	res := relay.DefaultResources()
	for _, field := range strings.Fields(text) {
		key, value, _ := strings.Cut(field, "=")
		ok := false
		switch key {
		case "reservations":
			n, err := strconv.Atoi(value)
			res.MaxReservations, ok = n, err == nil && n >= 1 && n <= 4096
		case "data":
			n, err := ParseRate(value)
			res.Limit.Data, ok = n, err == nil && n > 0 && !strings.Contains(value, "/")
		case "time":
			d, err := time.ParseDuration(value)
			res.Limit.Duration, ok = d, err == nil && d >= 10*time.Second && d <= 24*time.Hour
		}
		if !ok {
			return res, fmt.Errorf("relay limit %q: want reservations=1 to 4096, data=16MiB (each way, of a connection; at least 10kB) or time=2m (10s to 24h)", field)
		}
	}
	return res, nil
}

// advertise are the addresses that others are told: those we know of, as far as the network reaches, and those the user gave.
func (s settings) advertise(addrs []ma.Multiaddr) []ma.Multiaddr {
	return ma.Unique(append(s.profile.Advertise(addrs), s.reach.announce...))
}
