package dht

import (
	"slices"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

func addrs(t testing.TB, in ...string) []ma.Multiaddr {
	t.Helper()
	var out []ma.Multiaddr
	for _, s := range in {
		a, err := ma.NewMultiaddr(s)
		must(t, err)
		out = append(out, a)
	}
	return out
}

func TestAllowDial(t *testing.T) {
	const relay = "/p2p/12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf/p2p-circuit"
	anywhere := Local()
	anywhere.Reach = Anywhere
	for _, tt := range []struct {
		addr                 string
		local, lan, anywhere bool
	}{
		{"/ip4/127.0.0.1/tcp/1", true, true, true},
		{"/ip4/127.9.9.9/udp/1/quic-v1", true, true, true},
		{"/ip6/::1/tcp/1", true, true, true},
		{"/dns4/localhost/tcp/1", true, true, true},
		{"/dns/LOCALHOST./tcp/1", true, true, true},
		{"/ip4/192.168.1.7/tcp/1", false, true, true},
		{"/ip4/10.0.0.1/udp/1/quic-v1", false, true, true},
		{"/ip4/172.16.0.1/tcp/1", false, true, true},
		{"/ip4/100.64.0.1/tcp/1", false, true, true},  // shared address space, RFC 6598
		{"/ip4/169.254.1.1/tcp/1", false, true, true}, // link-local
		{"/ip6/fe80::1/tcp/1", false, true, true},
		{"/ip6zone/eth0/ip6/fe80::1/tcp/1", false, true, true},
		{"/ip6/fd00::1/tcp/1", false, true, true}, // unique local
		{"/dns4/printer.local/tcp/1", false, true, true},
		{"/ip4/192.168.1.7/tcp/1" + relay, false, true, true},
		{"/ip4/8.8.8.8/tcp/1", false, false, true},
		{"/ip4/8.8.8.8/tcp/1" + relay, false, false, true},
		{"/ip6/2a00::1/tcp/1", false, false, true},
		{"/dns4/example.org/tcp/1", false, false, true},
		{"/dnsaddr/bootstrap.libp2p.io", false, false, true},
		{"/dns4/notlocal/tcp/1", false, false, true},
		{"/unix/tmp/socket", false, false, true},
	} {
		a := addrs(t, tt.addr)[0]
		for _, p := range []struct {
			Profile
			want bool
		}{{Local(), tt.local}, {LAN(), tt.lan}, {anywhere, tt.anywhere}} {
			if got := p.AllowDial(a); got != p.want {
				t.Errorf("%s on %s: %v", tt.addr, p.Name, got)
			}
		}
	}
	if Local().AllowDial(nil) || anywhere.AllowDial(nil) {
		t.Error("no address at all is allowed")
	}
}

func TestAdvertise(t *testing.T) {
	const lo, lan, pub = "/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.7/tcp/1", "/ip4/8.8.8.8/tcp/1"
	for _, tt := range []struct {
		name     string
		profile  Profile
		in, want []string
	}{
		{"local: loopback only", Local(), []string{lan, lo, pub}, []string{lo}},
		{"lan: no public, and no loopback beside a better one", LAN(), []string{lo, lan, pub}, []string{lan}},
		{"lan: loopback if there is nothing else", LAN(), []string{lo, pub}, []string{lo}},
		{"nothing", LAN(), nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.profile.Advertise(addrs(t, tt.in...))
			if !slices.EqualFunc(got, addrs(t, tt.want...), ma.Multiaddr.Equal) {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestProfilesAreSound(t *testing.T) {
	for _, p := range Profiles() {
		if err := p.validate(); err != nil {
			t.Error(err)
		}
		addrs(t, p.Listen...)
		byName, err := ProfileByName(p.Name)
		if err != nil || byName.Prefix != p.Prefix {
			t.Errorf("by name: %+v, %v", byName, err)
		}
		for _, a := range addrs(t, p.ListenAt(1234)...) {
			if port, _ := a.ValueForProtocol(ma.P_TCP); port != "" && port != "1234" {
				t.Errorf("ListenAt: %s", a)
			}
			if port, _ := a.ValueForProtocol(ma.P_UDP); port != "" && port != "1234" {
				t.Errorf("ListenAt: %s", a)
			}
		}
	}
	if _, err := ProfileByName("nowhere"); err == nil {
		t.Error("an unknown name is known")
	}
	if !slices.ContainsFunc(addrs(t, Local().Listen...), Local().AllowDial) {
		t.Error("local does not listen where it may be dialled")
	}
}
