package dht

import (
	kaddht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/amino"
	"github.com/libp2p/go-libp2p/core/host"
)

// Public is the IPFS DHT, called Amino: shoal works worldwide in it without servers of its own. A node answers queries only once
// AutoNAT has found it reachable. The bootstrap nodes are those that libp2p runs for everybody.
//
// Source: https://specs.ipfs.tech/routing/kad-dht/
func Public() Profile {
	return Profile{
		Name:       "public",
		Prefix:     amino.ProtocolPrefix,
		Mode:       Auto,
		Reach:      Anywhere,
		BucketSize: amino.DefaultBucketSize,
		MDNS:       true,
		ServiceTag: "_shoal-public._udp", // not that of lan, whose shares are not for everybody
		Listen:     LAN().Listen,
		Bootstrap: []string{
			"/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN",
			"/dnsaddr/bootstrap.libp2p.io/p2p/QmQCU2EcMqAqQPR2i9bChDtGNJchTbq5TbXJJ16u19uLTa",
			"/dnsaddr/bootstrap.libp2p.io/p2p/QmbLHAnMoJPWSCR5Zhtx6BHJX9KiKNN6tpvbUcqanj75Nb",
			"/dnsaddr/bootstrap.libp2p.io/p2p/QmcZf59bWwK5XFi76CZX8cbJ4BhTzzA3gU1ZjYZcYW3dwt",
			"/ip4/104.131.131.82/tcp/4001/p2p/QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ",
		},
		MaxResponse: 768 << 10,
		PublicOnly:  true,
		Values:      true,
		NAT:         true,
	}
}

// publicFilters are what kad-dht's dual package gives its WAN side besides AddressFilter (Profile.Publish) and QueryFilter
// (mayQuery): nobody without a public address gets into the table, and few of one IP group, which makes it costly to fill.
func publicFilters(h host.Host) []kaddht.Option {
	return []kaddht.Option{
		kaddht.RoutingTableFilter(kaddht.PublicRoutingTableFilter),
		kaddht.RoutingTablePeerDiversityFilter(
			kaddht.NewRTPeerDiversityFilter(h, amino.DefaultMaxPeersPerIPGroupPerCpl, amino.DefaultMaxPeersPerIPGroup)),
	}
}
