package testnet_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"

	"shoal/node"
	"shoal/node/api"
	"shoal/testnet"
)

// The tests of this file look at daemons from outside: with bare libp2p hosts, which keep to no rule of ours.

// stranger is a bare host with one transport, and with a pre-shared key if one is given.
func stranger(t *testing.T, key pnet.PSK, listen string) host.Host {
	t.Helper()
	opts := []libp2p.Option{libp2p.ListenAddrStrings(listen), libp2p.DisableRelay(), libp2p.DisableMetrics()}
	if key != nil {
		opts = append(opts, libp2p.PrivateNetwork(key))
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

const tcpHost, quicHost = "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"

// at is where a daemon listens, by the transport of a listen address.
func at(t *testing.T, p *testnet.Peer, listen string) peer.AddrInfo {
	t.Helper()
	kind := "/tcp/"
	if listen == quicHost {
		kind = "/quic-v1/"
	}
	i := slices.IndexFunc(p.Addrs(), func(a string) bool { return strings.Contains(a, kind) })
	if i < 0 {
		t.Fatalf("%v has nothing with %s", p.Addrs(), kind)
	}
	info, err := peer.AddrInfoFromString(p.Addrs()[i])
	if err != nil {
		t.Fatal(err)
	}
	return *info
}

// speaks dials a daemon anew and agrees on the swap protocol with it. Nil means that it was let in.
func speaks(t *testing.T, h host.Host, to peer.AddrInfo) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	h.Network().ClosePeer(to.ID)
	if err := h.Connect(network.WithForceDirectDial(ctx, "test"), to); err != nil {
		return err
	}
	s, err := h.NewStream(ctx, to.ID, swap)
	if err != nil {
		return err
	}
	defer s.Reset()
	return nil
}

// hears tells which kinds of streams a daemon opens on a host.
func hears(h host.Host) <-chan string {
	heard := make(chan string, 16)
	h.Network().SetStreamHandler(func(s network.Stream) {
		select {
		case heard <- "a stream":
		default:
		}
		s.Reset()
	})
	return heard
}

func TestPrivateNetworkFromOutside(t *testing.T) {
	t.Parallel()
	inv, err := node.NewInvitation("team")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, d := range []string{"peer1", "peer2"} {
		if err := node.SavePrivateNetwork(dir+"/"+d+"/home", inv); err != nil {
			t.Fatal(err)
		}
	}
	lab := testnet.Start(t, 2, testnet.Options{Dir: dir, Env: []string{"SHOAL_NETWORK=private:team", "SHOAL_LISTEN=" + tcpHost}})
	a, b := lab.Peers[0], lab.Peers[1]
	path := testnet.RandomFile(t, a.Path("original"), 3*chunk, 1)
	shared := a.Share(path)
	b.Get(shared.CID, b.Path("copy"))
	lab.Same(path, b.Path("copy"), false)

	wrong := inv.Key
	wrong[31] ^= 1
	for _, row := range []struct {
		name string
		key  pnet.PSK
		in   bool
	}{{"no key", nil, false}, {"one bit of the key wrong", wrong[:], false}, {"the key", inv.Key[:], true}} {
		t.Run(row.name, func(t *testing.T) {
			h := stranger(t, row.key, tcpHost)
			if err := speaks(t, h, at(t, a, tcpHost)); (err == nil) != row.in {
				t.Errorf("dialling the daemon: %v", err)
			}
			// The other way round: the daemon is told to dial the host.
			out := stranger(t, row.key, tcpHost)
			met := whoConnects(out)
			if got := dials(t, a, out, met, row.in); got != row.in {
				t.Errorf("dialled by the daemon: connected %v", got)
			}
		})
	}
}

// dials sends a daemon to a host and tells whether they connect; where they are to, it has as long as it takes.
func dials(t *testing.T, d *testnet.Peer, h host.Host, met <-chan peer.ID, expected bool) bool {
	patience := 2 * time.Second
	if expected {
		patience = time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got atomic.Bool
	go func() {
		select {
		case <-met:
			got.Store(true)
			cancel()
		case <-ctx.Done():
		}
	}()
	link := linkTo(missing, addrs(t, h)...)
	if _, err := d.Client().Get(ctx, api.GetRequest{Link: link, Output: d.Path("none")}, nil); ctx.Err() == nil {
		t.Errorf("the fetch ended by itself: %v", err)
	}
	return got.Load()
}

// missing is a CID that nobody has.
const missing = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyka"

// whoConnects hears of the connections of a host.
func whoConnects(h host.Host) <-chan peer.ID {
	met := make(chan peer.ID, 64)
	h.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		select {
		case met <- c.RemotePeer():
		default:
		}
	}})
	return met
}

func TestBannedPeerGetsNothing(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 1, testnet.Options{})
	d := lab.Peers[0]
	for _, listen := range []string{tcpHost, quicHost} {
		t.Run(listen, func(t *testing.T) {
			h := stranger(t, nil, listen)
			id := h.ID().String()
			if err := speaks(t, h, at(t, d, listen)); err != nil {
				t.Fatalf("before the ban: %v", err)
			}
			gone := make(chan struct{}, 16)
			h.Network().Notify(&network.NotifyBundle{DisconnectedF: func(network.Network, network.Conn) { gone <- struct{}{} }})
			d.Must("peers", "ban", id)
			if peers, err := d.Client().Peers(t.Context()); err != nil || slices.ContainsFunc(peers, func(p api.Peer) bool { return p.ID == id }) {
				t.Errorf("after the ban it is still among %v (%v)", peers, err)
			}
			<-gone // the open connection ends
			refused(t, d, h, listen)
			refusesToDial(t, d, h)

			d.Stop()
			d.Restart()
			refused(t, d, h, listen)

			d.Must("peers", "forget", id)
			if err := speaks(t, h, at(t, d, listen)); err != nil {
				t.Errorf("after the ban was lifted: %v", err)
			}
		})
	}
}

// refused checks that a host can connect and speak to a daemon in no way, and hears nothing.
func refused(t *testing.T, d *testnet.Peer, h host.Host, listen string) {
	t.Helper()
	heard := hears(h)
	to := at(t, d, listen)
	h.Peerstore().ClearAddrs(to.ID)
	if err := speaks(t, h, to); err == nil {
		t.Error("a refused peer gets a stream")
	}
	if len(heard) > 0 {
		t.Errorf("a refused peer hears %s", <-heard)
	}
	// A connection that is closed by the daemon may seem open here for a moment: no byte of an answer may come over it.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if h.Connect(ctx, to) != nil {
		return
	}
	s, err := h.Network().NewStream(ctx, to.ID)
	if err != nil {
		return
	}
	defer s.Reset()
	s.SetDeadline(time.Now().Add(20 * time.Second))
	s.Write([]byte("\x13/multistream/1.0.0\n"))
	n, err := s.Read(make([]byte, 1))
	var late net.Error
	if n > 0 || err == nil || errors.As(err, &late) && late.Timeout() {
		t.Errorf("a refused peer reads %d bytes (%v)", n, err)
	}
}

// refusesToDial sends a daemon to a host that it must not dial.
func refusesToDial(t *testing.T, d *testnet.Peer, h host.Host) {
	t.Helper()
	met := whoConnects(h)
	r := d.Fails(1, "get", "--timeout", "10s", "-o", d.Path("none"), linkTo(missing, addrs(t, h)...))
	if !strings.Contains(r.Stderr, h.ID().String()) || !strings.Contains(r.Stderr, "here") {
		t.Errorf("a link that leads to a refused peer: %s", r)
	}
	if len(met) > 0 {
		t.Error("the daemon dialled a refused peer")
	}
}

func TestAllowListLetsOnlyItsMembersIn(t *testing.T) {
	t.Parallel()
	lab := testnet.Start(t, 1, testnet.Options{})
	d := lab.Peers[0]
	for _, listen := range []string{tcpHost, quicHost} {
		t.Run(listen, func(t *testing.T) {
			member, other := stranger(t, nil, listen), stranger(t, nil, listen)
			for _, h := range []host.Host{member, other} {
				if err := speaks(t, h, at(t, d, listen)); err != nil {
					t.Fatalf("without lists: %v", err)
				}
			}
			left := make(chan struct{}, 16)
			other.Network().Notify(&network.NotifyBundle{DisconnectedF: func(network.Network, network.Conn) { left <- struct{}{} }})
			d.Must("peers", "allow", member.ID().String())
			<-left
			if peers, err := d.Client().Peers(t.Context()); err != nil || len(peers) != 1 || peers[0].ID != member.ID().String() {
				t.Errorf("with an allow list the daemon is connected to %v (%v), want its member alone", peers, err)
			}
			refused(t, d, other, listen)
			refusesToDial(t, d, other)
			if err := speaks(t, member, at(t, d, listen)); err != nil {
				t.Errorf("a member: %v", err)
			}
			d.Must("peers", "forget", member.ID().String())
			if err := speaks(t, other, at(t, d, listen)); err != nil {
				t.Errorf("with empty lists again: %v", err)
			}
		})
	}
}
