package dht

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	kaddht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/amino"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
)

// TestPublicIsAmino compares the profile with what kad-dht says of the IPFS DHT, and lets kad-dht itself check it.
func TestPublicIsAmino(t *testing.T) {
	p := Public()
	must(t, p.validate())
	if p.Prefix+"/kad/1.0.0" != amino.ProtocolID || p.BucketSize != amino.DefaultBucketSize || p.Mode != Auto {
		t.Errorf("not Amino: %+v", p)
	}
	for _, a := range kaddht.DefaultBootstrapPeers {
		if !slices.Contains(p.Bootstrap, a.String()) {
			t.Errorf("kad-dht joins by %s, we do not", a)
		}
	}
	for _, change := range []func(*Profile){func(p *Profile) { p.BucketSize = 8 }, func(p *Profile) { p.Values = false }} {
		other := Public()
		change(&other)
		if other.validate() == nil {
			t.Errorf("taken for Amino: %+v", other)
		}
	}
	lan := LAN()
	lan.Prefix = p.Prefix
	if lan.validate() == nil {
		t.Error("lan may use the prefix of the IPFS DHT")
	}
}

// onLoopback is the public profile with nobody to join by and without the filters, so that a test can live on 127.0.0.1.
func onLoopback() Profile {
	p := Public()
	p.Bootstrap, p.MDNS, p.PublicOnly = nil, false, false
	return p
}

// TestPublicServesWhenReachable: a node is a client until AutoNAT says that it is reachable, and then speaks the IPFS DHT's
// protocol. Two others who provide and find through it are clients all the time.
func TestPublicServesWhenReachable(t *testing.T) {
	server := start(t, setup{profile: onLoopback()})
	speaks := func() bool { return slices.Contains(server.host.Mux().Protocols(), protocol.ID("/ipfs/kad/1.0.0")) }
	must(t, server.up(t.Context()))
	if speaks() {
		t.Error("serves before anybody has found it reachable")
	}
	emitter, err := server.host.EventBus().Emitter(new(event.EvtLocalReachabilityChanged))
	must(t, err)
	defer emitter.Close()
	must(t, emitter.Emit(event.EvtLocalReachabilityChanged{Reachability: network.ReachabilityPublic}))
	await(t, "it serves", speaks)

	boot := []peer.AddrInfo{server.info()}
	sharer := start(t, setup{profile: onLoopback(), bootstrap: boot})
	finder := start(t, setup{profile: onLoopback(), bootstrap: boot})
	key := root(1)
	provide(t, sharer, key)
	find(t, finder, key, sharer.host.ID())

	must(t, emitter.Emit(event.EvtLocalReachabilityChanged{Reachability: network.ReachabilityPrivate}))
	await(t, "it stops serving", func() bool { return !speaks() })
}

// TestPublicFilters: with the filters of the internet, a peer on loopback gets into no table and into no answer.
func TestPublicFilters(t *testing.T) {
	profile := onLoopback()
	profile.Mode = Server
	other := start(t, setup{profile: profile})
	must(t, other.up(t.Context()))
	profile.PublicOnly = true
	n := start(t, setup{profile: profile, bootstrap: []peer.AddrInfo{other.info()}})
	must(t, n.up(t.Context()))
	await(t, "they are connected", func() bool { return n.connected(other.host.ID()) && len(n.neighbours()) == 1 })
	<-n.kad.RefreshRoutingTable()
	if size := n.Size(); size != 0 {
		t.Errorf("%d peers on loopback are in the table", size)
	}
	mixed := addrs(t, "/ip4/127.0.0.1/tcp/1", "/ip4/10.1.2.3/tcp/1", "/ip4/8.8.8.8/tcp/1")
	if got := n.addrsOf(peer.AddrInfo{ID: "someone", Addrs: mixed}); !slices.EqualFunc(got, mixed[2:], ma.Multiaddr.Equal) {
		t.Errorf("believes %v", got)
	}
	if got := profile.Publish(mixed); !slices.EqualFunc(got, mixed[2:], ma.Multiaddr.Equal) {
		t.Errorf("publishes %v", got)
	}
	if n.mayQuery(nil, peer.AddrInfo{ID: "someone", Addrs: mixed[:2]}) || !n.mayQuery(nil, peer.AddrInfo{ID: "someone", Addrs: mixed}) {
		t.Error("private addresses alone are worth a dial, or a public one is not")
	}
}

// TestPublicKeepsValues: kad-dht accepts the options of the profile and its own check of them, which every Amino node has to pass.
func TestPublicKeepsValues(t *testing.T) {
	h := newHost(t, nil, "")
	d, err := New(Config{Host: h, Profile: Public(), Datastore: dssync.MutexWrap(datastore.NewMapDatastore())})
	must(t, err)
	d.records = newRecordStore(d.ds, h.ID(), nil, 1)
	kad, err := kaddht.New(h, d.kadOptions(nil)...)
	must(t, err)
	must(t, kad.Close())
}

func TestValueStoreIsBounded(t *testing.T) {
	ctx := t.Context()
	s := newValueStore()
	if s.Put(ctx, datastore.NewKey("big"), make([]byte, maxValue+1)) == nil {
		t.Error("kept a value that is too large")
	}
	key := func(i int) datastore.Key { return datastore.NewKey(fmt.Sprintf("/pk/%06d", i)) }
	value := bytes.Repeat([]byte{7}, maxValue)
	n := 0
	for ; s.Put(ctx, key(n), value) == nil; n++ {
		if n > maxValuesBytes/maxValue {
			t.Fatal("there is no bound")
		}
	}
	must(t, s.Put(ctx, key(0), value)) // in place of itself it needs no room
	must(t, s.Delete(ctx, key(1)))
	must(t, s.Delete(ctx, key(1))) // gives its room back once
	must(t, s.Put(ctx, key(n), value))
	if s.Put(ctx, key(n+1), value) == nil {
		t.Error("one Delete made room for two")
	}
	if _, err := s.Batch(ctx); !errors.Is(err, datastore.ErrBatchUnsupported) {
		t.Errorf("a batch goes past the bound: %v", err)
	}
}
