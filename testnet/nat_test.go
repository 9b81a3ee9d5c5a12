package testnet_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"shoal/node/api"
	"shoal/testnet"
)

// natLab is the internet in small: four daemons at public addresses, of which the first is a relay, and two homes, each behind a
// router that does NAT. Both homes have the same private addresses, as homes do.
//
//	sharer 192.168.1.2 ── router 1.20.0.1 ──┬── 1.10.0.1 (relay, joined by), 1.11.0.1, 1.12.0.1, 1.13.0.1
//	fetcher 192.168.1.2 ── router 1.21.0.1 ─┘
type natLab struct {
	*testnet.Lab
	t               *testing.T
	relay           *testnet.Peer
	sharer, fetcher *testnet.Peer
}

// easyNAT keeps a port where it can, so that a peer finds it where another has seen it; hardNAT gives each connection a random
// one, so that nobody can guess it ("symmetric"). Neither answers what was not asked for.
const (
	easyNAT = "masquerade"
	hardNAT = "masquerade fully-random"
)

func newNATLab(t *testing.T, nat string, args ...string) *natLab {
	t.Helper()
	big(t)
	net := testnet.NewTopology(t, "nat", "nft", "sysctl")
	l := &natLab{t: t, Lab: testnet.Start(t, 0, testnet.Options{Env: []string{
		"SHOAL_NETWORK=public", "SHOAL_LISTEN=/ip4/0.0.0.0/tcp/4474,/ip4/0.0.0.0/udp/4474/quic-v1", "SHOAL_MDNS=off",
	}})}
	wan := net.Switch("wan")
	for i := range 4 {
		host := net.Host(fmt.Sprintf("public%d", i))
		net.Plug(host, wan, fmt.Sprintf("1.%d.0.1/8", 10+i)) // as many IP groups as peers, for the diversity filter
		place := testnet.Place{Namespace: host}
		if i == 0 {
			place.Args = []string{"--bootstrap", "none", "--relay-service", "on", "--relay-limits", "data=64MiB time=10m"}
		}
		p := l.AddAt(place)
		if i == 0 {
			l.relay = p
		}
	}
	l.Eventually("the relay serves the DHT", func() bool { return l.status(l.relay).Routing > 0 })
	t.Logf("relay: reached %s", l.status(l.relay).Reach.Text)

	home := func(name, wanAddr string) *testnet.Peer {
		host, router, lan := net.Host(name), net.Host(name+"gw"), net.Switch(name+"lan")
		net.Plug(host, lan, "192.168.1.2/24")
		net.Plug(router, lan, "192.168.1.1/24")
		uplink, _ := net.Plug(router, wan, wanAddr)
		host.IP("route add default via 192.168.1.1")
		router.Forward()
		router.NFT(fmt.Sprintf(`table ip nat {
			chain post { type nat hook postrouting priority srcnat; oifname "%[1]s" %[2]s; }
		}
		table inet filter {
			chain in { type filter hook input priority filter; iifname "%[1]s" ct state != { established, related } drop; }
			chain through { type filter hook forward priority filter; iifname "%[1]s" ct state != { established, related } drop; }
		}`, uplink, nat))
		return l.AddAt(testnet.Place{Namespace: host, Args: args})
	}
	l.sharer, l.fetcher = home("sharer", "1.20.0.1/8"), home("fetcher", "1.21.0.1/8")
	for _, p := range []*testnet.Peer{l.sharer, l.fetcher} {
		l.Eventually("a home has a relay", func() bool { return l.status(p).Reach.State == api.ReachRelay })
	}
	t.Logf("sharer: reached %s", l.status(l.sharer).Reach.Text)
	return l
}

func (l *natLab) status(p *testnet.Peer) api.Status {
	l.t.Helper()
	st, err := p.Client().Status(context.Background())
	if err != nil {
		l.t.Fatal(err)
	}
	return st
}

// way is how the fetcher is connected to the sharer: "direct", "relay" or "not".
func (l *natLab) way() string {
	l.t.Helper()
	peers, err := l.fetcher.Client().Peers(context.Background())
	if err != nil {
		l.t.Fatal(err)
	}
	way := "not"
	for _, p := range peers {
		if p.ID != l.sharer.ID() {
			continue
		}
		for _, a := range p.Addrs {
			l.t.Logf("fetcher to sharer: %s", a)
			if !strings.Contains(a, "/p2p-circuit") {
				return "direct"
			}
			way = "relay"
		}
	}
	return way
}

// share makes a file at the sharer, shares it, and waits until the fetcher finds it in the DHT.
func (l *natLab) share(size int64) (path string, share api.ShareResult) {
	l.t.Helper()
	path = testnet.RandomFile(l.t, l.sharer.Path("file"), size, 1)
	share = l.sharer.Share(path)
	l.Eventually("the share is found", func() bool {
		return strings.Contains(l.fetcher.Must("find", "--json", share.CID), "/p2p-circuit")
	})
	return path, share
}

// TestNATPunch: two homes behind NATs swap directly, after meeting through a relay that neither was told of.
func TestNATPunch(t *testing.T) {
	l := newNATLab(t, easyNAT)
	path, share := l.share(16 << 20)
	got := l.fetcher.Get(share.CID, l.fetcher.Path("copy"), "--timeout", "2m")
	l.Same(path, l.fetcher.Path("copy"), false)
	if way := l.way(); way != "direct" {
		t.Errorf("the homes are connected: %s", way)
	}
	t.Logf("%d bytes in %.1f s", got.Size, got.Seconds)
}

// TestNATRelayNoData: where no hole can be punched the homes meet through the relay, and nothing of a share goes that way.
func TestNATRelayNoData(t *testing.T) {
	l := newNATLab(t, hardNAT)
	_, share := l.share(1 << 20)
	f := l.fetcher.Fetch(share.CID, l.fetcher.Path("copy"))
	p := f.Until("it says that only a relay leads there", func(p api.Progress) bool { return strings.Contains(p.Message, "--relay-data") })
	t.Logf("get says: %s", p.Message)
	if way := l.way(); way == "direct" {
		t.Error("a hole was punched through a NAT that does not allow it")
	}
	if p.Bytes != 0 {
		t.Errorf("%d bytes went through the relay", p.Bytes)
	}
	f.Interrupt()
	f.Wait()
}

// TestNATRelayData: with leave on both sides chunks go through the relay.
func TestNATRelayData(t *testing.T) {
	l := newNATLab(t, hardNAT, "--relay-data", "on")
	path, share := l.share(4 << 20)
	got := l.fetcher.Get(share.CID, l.fetcher.Path("copy"), "--timeout", "2m")
	l.Same(path, l.fetcher.Path("copy"), false)
	if way := l.way(); way != "relay" {
		t.Errorf("the homes are connected: %s", way)
	}
	t.Logf("%d bytes in %.1f s", got.Size, got.Seconds)
}
