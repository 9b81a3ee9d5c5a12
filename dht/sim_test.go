package dht

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	kb "github.com/libp2p/go-libp2p-kbucket"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
)

// A world is a network of simulated peers: real hosts that speak QUIC over a simulated link each, with the DHT of this package.
// It lives in a synctest bubble, where time passes only while everybody waits.
//
// What the seed decides is who is there, who knows whom, who provides, looks and leaves. Cryptography, the walks of kad-dht and
// the order of goroutines stay random, so that a seed repeats a situation, not every packet of it.
type world struct {
	t     testing.TB
	seed  uint64
	rand  *rand.Rand
	net   *simnet.Simnet
	peers []*simPeer

	mu   sync.Mutex
	lost func(from, to int) bool // packets that do not arrive; nil: none
}

// simPeer is one peer of a world.
type simPeer struct {
	*DHT
	host host.Host
	num  int
	done chan error // what Run returned
}

const (
	oneWay   = 25 * time.Millisecond
	linkRate = 20 * simlibp2p.OneMbps
)

// nowhere is an address at which nobody listens.
var nowhere = &net.UDPAddr{IP: net.IPv4(255, 255, 255, 255), Port: 9}

func newWorld(t testing.TB, seed uint64, n int) *world {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	w := &world{t: t, seed: seed, rand: rand.New(rand.NewChaCha8(key))}
	w.net = &simnet.Simnet{LatencyFunc: w.carry, Logger: slog.New(slog.DiscardHandler)}
	w.net.Start()
	for i := range n {
		w.peers = append(w.peers, w.newPeer(i))
	}
	return w
}

// carry says how long a packet is under way. One that gets lost goes nowhere.
func (w *world) carry(p *simnet.Packet) time.Duration {
	w.mu.Lock()
	lost := w.lost
	w.mu.Unlock()
	if lost != nil && lost(index(p.From), index(p.To)) {
		p.To = nowhere
	}
	return oneWay
}

// index is the peer that an address of simnet.IntToPublicIPv4 is of.
func index(a net.Addr) int {
	ip := a.(*net.UDPAddr).IP.To4()
	return int(ip[1])<<16 + int(ip[2])<<8 + int(ip[3]) - 1
}

func (w *world) newPeer(i int) *simPeer {
	var seed [32]byte
	for j := range seed {
		seed[j] = byte(w.rand.Uint32())
	}
	key, _, err := crypto.GenerateEd25519Key(rand.NewChaCha8(seed))
	must(w.t, err)
	conns, err := connmgr.NewConnManager(160, 256, connmgr.WithGracePeriod(30*time.Second))
	must(w.t, err)
	link := simnet.LinkSettings{BitsPerSecond: linkRate, FlowBucketCount: 4}
	h, err := libp2p.New(
		libp2p.Identity(key),
		simlibp2p.QUICSimnet(w.net, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}),
		libp2p.Transport(quic.NewTransport),
		libp2p.ListenAddrStrings(fmt.Sprintf("/ip4/%s/udp/8000/quic-v1", simnet.IntToPublicIPv4(i))),
		libp2p.DisableIdentifyAddressDiscovery(), // its timers keep a bubble from coming to rest
		libp2p.ConnectionManager(conns),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
	)
	must(w.t, err)
	profile := LAN()
	profile.Name, profile.Prefix, profile.Reach, profile.MDNS = "sim", "/shoal/sim", Anywhere, false
	d, err := New(Config{Host: h, Profile: profile, Datastore: dssync.MutexWrap(datastore.NewMapDatastore())})
	must(w.t, err)
	p := &simPeer{DHT: d, host: h, num: i, done: make(chan error, 1)}
	go func() { p.done <- d.Run(context.Background()) }()
	must(w.t, d.up(context.Background()))
	return p
}

// acquaint fills the routing tables as joining would, with k peers a bucket where there are so many, chosen at random. Real joins
// of so many peers would connect nearly everybody with everybody and take minutes.
func (w *world) acquaint() {
	ids := make([]kb.ID, len(w.peers))
	for i, p := range w.peers {
		ids[i] = kb.ConvertPeerID(p.host.ID())
	}
	for i, p := range w.peers {
		table, k := p.kad.RoutingTable(), p.profile.BucketSize
		had := map[int]int{}
		for _, j := range w.rand.Perm(len(w.peers)) {
			cpl := kb.CommonPrefixLen(ids[i], ids[j])
			if j == i || had[cpl] == k {
				continue
			}
			had[cpl]++
			other := w.peers[j].host
			p.host.Peerstore().AddAddrs(other.ID(), other.Addrs(), peerstore.AddressTTL)
			if _, err := table.TryAddPeer(other.ID(), true, false); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// lose decides from now on which packets are lost.
func (w *world) lose(lost func(from, to int) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = lost
}

// hangUp closes the connections of a peer: whoever looks or provides starts with none, and the memory for them stays bounded.
func (w *world) hangUp(p *simPeer) {
	for _, other := range p.host.Network().Peers() {
		if err := p.host.Network().ClosePeer(other); err != nil {
			w.t.Errorf("close connection: %v", err)
		}
	}
}

func (w *world) close() {
	var all sync.WaitGroup
	for _, p := range w.peers {
		all.Go(func() {
			if err := p.Close(); err != nil {
				w.t.Errorf("close: %v", err)
			}
			if err := <-p.done; err != nil {
				w.t.Errorf("run: %v", err)
			}
			p.host.Close()
		})
	}
	all.Wait()
	w.net.Close()
}
