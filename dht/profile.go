package dht

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p-kad-dht/amino"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Reach says how far away the addresses of a network may be.
type Reach uint8

const (
	// Loopback is this machine only: 127.0.0.0/8, ::1 and the name localhost.
	Loopback Reach = iota
	// Private adds what is not routed on the internet: RFC 1918, shared (RFC 6598) and link-local addresses, unique
	// local IPv6 (RFC 4193), and names under .local (RFC 6762).
	Private
	// Anywhere is every address.
	Anywhere
)

// Mode says whether a node answers DHT queries.
type Mode uint8

const (
	// Server always answers: right where every peer can reach every other one.
	Server Mode = iota
	// Auto answers once AutoNAT has found the node reachable.
	Auto
)

// A Profile is one network a daemon can live in, as plain data: take one of the ready ones and change what you need.
type Profile struct {
	Name        string
	Prefix      protocol.ID // of the DHT protocol: "/shoal/lan" gives /shoal/lan/kad/1.0.0
	Mode        Mode
	Reach       Reach    // what we dial and advertise on our own initiative
	BucketSize  int      // k of the Kademlia paper: peers a bucket holds, and nodes a record is stored on
	MDNS        bool     // look for peers on the local link
	ServiceTag  string   // the DNS-SD service of MDNS (RFC 6763)
	Listen      []string // default listen multiaddrs
	Bootstrap   []string // multiaddrs with /p2p/<id>, dialled at start
	MaxResponse int      // bytes a DHT answer may have; a longer one ends its stream
	PublicOnly  bool     // in the DHT only peers and addresses of the internet count, and few peers of one IP group
	Values      bool     // a server keeps public keys and IPNS records for others, too
	NAT         bool     // find out whether the internet reaches us, and get through a NAT where it does not
	PSK         pnet.PSK // the key of a private network, nil elsewhere; the host that is given to New has to be made with it
}

// Local is the network of one machine, for testnets: loopback only, no mDNS, and nobody is known at the start. Ports are
// the kernel's choice, so that any number of daemons run side by side.
func Local() Profile {
	return Profile{
		Name:        "local",
		Prefix:      "/shoal/local",
		Reach:       Loopback,
		BucketSize:  20,
		Listen:      []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"},
		MaxResponse: 768 << 10,
	}
}

// LAN is the network of those met on the local link by mDNS, and whom they know. The port is fixed, so that addresses
// remembered from the last run still hold; use [Profile.ListenAt] with 0 when it is taken.
func LAN() Profile {
	return Profile{
		Name:       "lan",
		Prefix:     "/shoal/lan",
		Reach:      Private,
		BucketSize: 20,
		MDNS:       true,
		ServiceTag: "_shoal._udp",
		Listen: []string{
			"/ip4/0.0.0.0/tcp/4474", "/ip6/::/tcp/4474",
			"/ip4/0.0.0.0/udp/4474/quic-v1", "/ip6/::/udp/4474/quic-v1",
		},
		MaxResponse: 768 << 10,
	}
}

// Profiles are the networks known by name, in the order in which help texts list them.
func Profiles() []Profile { return []Profile{Local(), LAN(), Public()} }

// ProfileByName gives the profile of that name, "private:NAME" without its key. The error lists the names there are.
func ProfileByName(name string) (Profile, error) {
	if own, ok := strings.CutPrefix(name, privateName); ok {
		return PrivateNetwork(own), nil
	}
	names := make([]string, 0, 4)
	for _, p := range Profiles() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Profile{}, fmt.Errorf("network %q: unknown, there are %s and %sNAME", name, strings.Join(names, ", "), privateName)
}

// ListenAt is Listen with every TCP and UDP port replaced by port (0: the kernel's choice).
func (p Profile) ListenAt(port int) []string {
	out := make([]string, len(p.Listen))
	for i, addr := range p.Listen {
		parts := strings.Split(addr, "/")
		for j := 1; j < len(parts); j++ {
			if parts[j-1] == "tcp" || parts[j-1] == "udp" {
				parts[j] = strconv.Itoa(port)
			}
		}
		out[i] = strings.Join(parts, "/")
	}
	return out
}

// AllowDial reports whether a daemon of this network may dial addr on its own initiative. Peers that the user named
// (a bootstrap flag, a provider in a link) may be dialled anyway, but on Loopback networks not even they. A relayed
// address is judged by its relay, since that is what is dialled.
func (p Profile) AllowDial(addr ma.Multiaddr) bool {
	if p.Reach == Anywhere {
		return len(addr) > 0
	}
	if len(addr) == 0 {
		return false
	}
	first, _ := ma.SplitFirst(addr)
	switch first.Protocol().Code {
	case ma.P_DNS, ma.P_DNS4, ma.P_DNS6, ma.P_DNSADDR:
		name := strings.TrimSuffix(strings.ToLower(first.Value()), ".")
		return name == "localhost" || p.Reach == Private && strings.HasSuffix(name, ".local")
	case ma.P_IP4, ma.P_IP6, ma.P_IP6ZONE:
		return manet.IsIPLoopback(addr) || p.Reach == Private && isPrivate(addr)
	}
	return false
}

// isPrivate adds IPv6 link-local addresses to what manet calls private.
func isPrivate(addr ma.Multiaddr) bool {
	ip, err := manet.ToIP(addr)
	return err == nil && (ip.IsLinkLocalUnicast() || manet.IsPrivateAddr(addr))
}

// Dialable keeps the addresses that AllowDial allows and that are not absurdly long, at most limit, in their order.
func (p Profile) Dialable(addrs []ma.Multiaddr, limit int) []ma.Multiaddr {
	out := make([]ma.Multiaddr, 0, min(len(addrs), limit))
	for _, a := range addrs {
		if len(out) == limit {
			break
		}
		if p.AllowDial(a) && len(a.Bytes()) <= maxAddrBytes {
			out = append(out, a)
		}
	}
	return out
}

// Advertise is what a daemon of this network tells others of its addresses, and what it believes of theirs; it has the
// shape of a libp2p AddrsFactory. Loopback addresses are left out where there are better ones: on another machine they
// lead to the wrong daemon, and on this one a LAN address works as well.
func (p Profile) Advertise(addrs []ma.Multiaddr) []ma.Multiaddr {
	allowed := p.Dialable(addrs, maxAddrs)
	if p.Reach == Loopback {
		return allowed
	}
	far := slices.DeleteFunc(slices.Clone(allowed), manet.IsIPLoopback)
	if len(far) == 0 {
		return allowed
	}
	return far
}

// Publish is what goes into the DHT of a node's addresses, and what is believed of those that others put there.
func (p Profile) Publish(addrs []ma.Multiaddr) []ma.Multiaddr {
	addrs = p.Advertise(addrs)
	if p.PublicOnly {
		addrs = ma.FilterAddrs(addrs, manet.IsPublicAddr)
	}
	return addrs
}

// validate names the first field that cannot work.
func (p Profile) validate() error {
	switch {
	case p.Name == "":
		return fmt.Errorf("profile: no name")
	case strings.HasPrefix(p.Name, privateName) && len(p.PSK) != KeySize:
		return fmt.Errorf("profile %s: no key", p.Name)
	case !strings.HasPrefix(string(p.Prefix), "/") || strings.HasSuffix(string(p.Prefix), "/"):
		return fmt.Errorf("profile %s: prefix %q: want the form /name", p.Name, p.Prefix)
	case p.BucketSize < 1 || p.BucketSize > 64:
		return fmt.Errorf("profile %s: bucket size %d: want 1 to 64", p.Name, p.BucketSize)
	case p.MaxResponse < 16<<10:
		return fmt.Errorf("profile %s: answers of %d bytes are too short for %d peers", p.Name, p.MaxResponse, p.BucketSize)
	case p.Prefix == amino.ProtocolPrefix && (p.BucketSize != amino.DefaultBucketSize || !p.Values):
		return fmt.Errorf("profile %s: the IPFS DHT (prefix %s) asks for buckets of %d and for values; choose another prefix",
			p.Name, p.Prefix, amino.DefaultBucketSize)
	case p.MDNS && p.ServiceTag == "":
		return fmt.Errorf("profile %s: mDNS without a service tag", p.Name)
	}
	return nil
}
