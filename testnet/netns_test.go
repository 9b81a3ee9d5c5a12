package testnet_test

import (
	"context"
	"strings"
	"testing"

	"shoal/testnet"
)

// TestTopology has two hosts on two switches, with a router that masks one of them.
func TestTopology(t *testing.T) {
	net := testnet.NewTopology(t, "topo", "nft")
	home, router, server := net.Host("home"), net.Host("router"), net.Host("server")
	lan, wan := net.Switch("lan"), net.Switch("wan")
	net.Plug(home, lan, "192.168.1.2/24")
	net.Plug(router, lan, "192.168.1.1/24")
	uplink, _ := net.Plug(router, wan, "10.2.3.1/24")
	net.Plug(server, wan, "10.2.3.4/24")
	home.IP("route add default via 192.168.1.1")
	router.Forward()
	lab := testnet.Start(t, 0, testnet.Options{})

	place := func(at *testnet.Namespace, addr string) testnet.Place {
		return testnet.Place{Namespace: at, Env: []string{"SHOAL_NETWORK=lan", "SHOAL_LISTEN=/ip4/" + addr + "/tcp/4474"}}
	}
	far := lab.AddAt(place(server, "10.2.3.4"))
	router.NFT(`table ip nat {
		chain post { type nat hook postrouting priority srcnat; oifname "` + uplink + `" masquerade; }
	}`)
	near := lab.AddAt(place(home, "192.168.1.2"))
	lab.Meet(far, near) // whoever is dialled knows of it last
	peers, err := far.Client().Peers(context.Background())
	if err != nil || len(peers) != 1 || !strings.HasPrefix(peers[0].Addrs[0], "/ip4/10.2.3.1/") {
		t.Errorf("the server sees %+v (%v), not the router's address", peers, err)
	}
}
