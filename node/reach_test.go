package node

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/dht"
	"shoal/node/api"
)

const relayID = "12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf"

func multiaddrs(t testing.TB, in ...string) (out []ma.Multiaddr) {
	t.Helper()
	for _, s := range in {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

func TestReachabilityInWords(t *testing.T) {
	const home, far, circuit = "/ip4/192.168.1.2/tcp/4474", "/ip4/1.2.3.4/tcp/4474", "/ip4/8.8.8.8/tcp/1/p2p/" + relayID + "/p2p-circuit"
	ports := []string{"TCP port 4474", "UDP port 4474"}
	for _, tt := range []struct {
		name       string
		facts      reachFacts
		state      api.ReachState
		text, next string
	}{
		{"a LAN", reachFacts{addrs: multiaddrs(t, home)}, api.ReachNetwork, "peers of this network", ""},
		{"just started", reachFacts{nat: true, addrs: multiaddrs(t, home)}, api.ReachUnknown, "not known yet", "--bootstrap"},
		{"tested", reachFacts{nat: true, reachable: multiaddrs(t, far), addrs: multiaddrs(t, home, far)}, api.ReachInternet, far, ""},
		{"reachable, and a relay left over", reachFacts{nat: true, reachable: multiaddrs(t, far), addrs: multiaddrs(t, far, circuit)}, api.ReachInternet, far, ""},
		{"only AutoNAT v1 says so", reachFacts{nat: true, verdict: network.ReachabilityPublic, addrs: multiaddrs(t, home, far)}, api.ReachInternet, far, ""},
		{"by a port forwarded by hand", reachFacts{nat: true, verdict: network.ReachabilityPublic, addrs: multiaddrs(t, far, "/ip4/5.6.7.8/tcp/1"),
			announced: multiaddrs(t, "/ip4/5.6.7.8/tcp/1")}, api.ReachInternet, "/ip4/5.6.7.8/tcp/1", ""},
		{"a relay", reachFacts{nat: true, verdict: network.ReachabilityPrivate, addrs: multiaddrs(t, home, circuit), ports: ports}, api.ReachRelay,
			"through the relay " + relayID + " at /ip4/8.8.8.8/tcp/1", "forward TCP port 4474 and UDP port 4474"},
		{"no relay", reachFacts{nat: true, verdict: network.ReachabilityPrivate, addrs: multiaddrs(t, home), ports: ports}, api.ReachNone, "no relay", "forward TCP port 4474"},
		{"no relay, by AutoNAT v2", reachFacts{nat: true, tested: true, addrs: multiaddrs(t, home)}, api.ReachNone, "no relay", "--listen"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.facts.words()
			if got.State != tt.state || !strings.Contains(got.Text, tt.text) || !strings.Contains(got.Next, tt.next) || tt.next == "" && got.Next != "" {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestPortsToForward(t *testing.T) {
	got := portsOf(multiaddrs(t, "/ip4/0.0.0.0/tcp/4474", "/ip6/::/tcp/4474", "/ip4/0.0.0.0/udp/4475/quic-v1", "/ip4/127.0.0.1/tcp/9", "/p2p-circuit"))
	if !slices.Equal(got, []string{"TCP port 4474", "UDP port 4475"}) {
		t.Errorf("%q", got)
	}
}

func TestReachChangesTheProfile(t *testing.T) {
	set, err := Config{Network: "public", Bootstrap: []string{"none"}, Reach: Reach{
		DHTPrefix: "/shoal/office", MDNS: "off", NAT: "off", Announce: []string{"/ip4/1.2.3.4/tcp/1"},
	}}.check()
	if err != nil {
		t.Fatal(err)
	}
	p := set.profile
	if p.Prefix != "/shoal/office" || p.MDNS || p.NAT || p.Bootstrap != nil || set.bootstrap != nil {
		t.Errorf("%+v, joins by %v", p, set.bootstrap)
	}
	if got := set.advertise(multiaddrs(t, "/ip4/10.0.0.1/tcp/1")); len(got) != 2 || !ma.Contains(got, multiaddrs(t, "/ip4/1.2.3.4/tcp/1")[0]) {
		t.Errorf("advertises %v", got)
	}
	set, err = Config{Network: "public"}.check()
	if err != nil || !set.profile.NAT || len(set.profile.Bootstrap) != len(dht.Public().Bootstrap) {
		t.Errorf("the profile as it is: %+v, %v", set.profile, err)
	}
}

// TestReachOfPrivateNetworks: what is changed of a network leaves what its key and its invitation say.
func TestReachOfPrivateNetworks(t *testing.T) {
	home := t.TempDir()
	inv := Invitation{Name: "team", Key: [dht.KeySize]byte{1}, Addrs: []string{"/ip4/1.2.3.4/tcp/1/p2p/" + relayID}}
	if err := SavePrivateNetwork(home, inv); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		bootstrap []string
		joins     int // by so many of the invitation's addresses
	}{{nil, 1}, {[]string{"/ip4/1.2.3.5/tcp/1/p2p/" + relayID}, 1}, {[]string{"none"}, 0}} {
		set, err := Config{Home: home, Network: "private:team", Bootstrap: tt.bootstrap, Reach: Reach{MDNS: "on"}}.check()
		if err == nil {
			err = set.unlock()
		}
		if err != nil {
			t.Fatal(err)
		}
		want := dht.PrivateNetwork("team").WithKey(inv.Key)
		if p := set.profile; p.ServiceTag != want.ServiceTag || p.Prefix != want.Prefix || len(p.Bootstrap) != tt.joins {
			t.Errorf("--bootstrap %v: prefix %s, service %s, joins by %v", tt.bootstrap, p.Prefix, p.ServiceTag, p.Bootstrap)
		}
	}
}

func TestReachIsChecked(t *testing.T) {
	relay := []string{"/ip4/1.2.3.4/tcp/1/p2p/" + relayID}
	for _, tt := range []struct {
		network string
		reach   Reach
		want    string
	}{
		{"lan", Reach{Relays: relay}, "--nat on"},
		{"public", Reach{Relays: relay, NAT: "off"}, "--nat on"},
		{"public", Reach{Relays: []string{"/ip4/1.2.3.4/tcp/1"}}, "relay address"},
		{"local", Reach{NAT: "on"}, "this machine alone"},
		{"local", Reach{MDNS: "on"}, "this machine alone"},
		{"lan", Reach{MDNS: "yes"}, `"yes"`},
		{"lan", Reach{DHTPrefix: "office"}, "the form /name"},
		{"lan", Reach{Announce: []string{"/ip4/1.2.3.4/tcp/1"}}, "nobody on the network lan"},
		{"public", Reach{Announce: []string{"1.2.3.4:1"}}, "announced address"},
		{"public", Reach{RelayLimits: "reservations=0"}, "reservations=0"},
		{"public", Reach{RelayLimits: "reservations=9999"}, "reservations=9999"},
		{"public", Reach{RelayLimits: "data=off"}, "data=off"},
		{"public", Reach{RelayLimits: "time=1s"}, "time=1s"},
		{"public", Reach{RelayLimits: "128"}, "128"},
	} {
		err := Config{Network: tt.network, Reach: tt.reach}.Check()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, %+v: %v; want %q", tt.network, tt.reach, err, tt.want)
		}
	}
	res, err := parseRelayLimits("reservations=3 data=1MiB  time=90s")
	if err != nil || res.MaxReservations != 3 || res.Limit.Data != 1<<20 || res.Limit.Duration != 90*time.Second || res.MaxCircuits == 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

func FuzzRelayLimits(f *testing.F) {
	f.Add("reservations=3 data=1MiB time=90s")
	f.Fuzz(func(t *testing.T, text string) {
		res, err := parseRelayLimits(text)
		if err == nil && (res.MaxReservations < 1 || res.Limit.Data < 1 || res.Limit.Duration < time.Second) {
			t.Errorf("%q lifts a limit: %+v, %+v", text, res, res.Limit)
		}
	})
}

func TestDialOrder(t *testing.T) {
	circuit := "/ip4/8.8.8.8/tcp/1/p2p/" + relayID + "/p2p-circuit"
	for _, tt := range []struct {
		name string
		in   []string
		want []time.Duration
	}{
		{"TCP before QUIC before a relay", []string{circuit, "/ip4/1.2.3.4/udp/1/quic-v1", "/ip4/1.2.3.4/tcp/1"}, []time.Duration{relayDelay, quicDelay, 0}},
		{"QUIC alone", []string{"/ip4/1.2.3.4/udp/1/quic-v1"}, []time.Duration{0}},
		{"a relay alone", []string{circuit}, []time.Duration{0}},
		{"QUIC and a relay", []string{"/ip4/1.2.3.4/udp/1/quic-v1", circuit}, []time.Duration{0, relayDelay - quicDelay}},
		{"nothing", nil, nil},
	} {
		var got []time.Duration
		for _, r := range rankTCPFirst(multiaddrs(t, tt.in...)) {
			got = append(got, r.Delay)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
