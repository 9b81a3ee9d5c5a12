package dht

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	pebbleds "github.com/ipfs/go-ds-pebble"
	"github.com/libp2p/go-libp2p/core/peer"
	mh "github.com/multiformats/go-multihash"
)

func TestTwentyNodesFindEachOther(t *testing.T) {
	nodes := startNetwork(t, 20)
	warm(t, nodes)
	sharer := nodes[7]
	begin := time.Now()
	provide(t, sharer, root(1))
	t.Logf("provided in %v", time.Since(begin))

	for round := range 3 { // the first opens streams, and competes with the nodes' own start
		var times []time.Duration
		sources := map[string]int{}
		for i, n := range nodes {
			if n == sharer {
				continue
			}
			f, took := find(t, n, root(1), sharer.host.ID())
			if len(f.Peer.Addrs) == 0 {
				t.Errorf("node %d: provider without addresses", i)
			}
			if f.Source != SourceConnected && f.Source != SourceDHT {
				t.Errorf("node %d: source %q", i, f.Source)
			}
			sources[f.Source]++
			times = append(times, took)
		}
		slices.Sort(times)
		t.Logf("round %d, first found: median %v, worst %v, sources %v", round, times[len(times)/2], times[len(times)-1], sources)
	}
}

func TestSharedBeforeAnybodyIsThere(t *testing.T) {
	first := start(t, setup{})
	provide(t, first, root(1))
	if s := first.Status(); s.Provided != 1 || s.Waiting != 1 || s.Ready {
		t.Fatalf("alone: %+v", s)
	}
	begin := time.Now()
	second := start(t, setup{bootstrap: []peer.AddrInfo{first.info()}})
	find(t, second, root(1), first.host.ID())
	t.Logf("found %v after the first peer started", time.Since(begin))
	await(t, "the record to be with the first peer", func() bool { return first.Status().Waiting == 0 })
	t.Logf("announced after %v", time.Since(begin))

	// A third node that knows only the second finds the first.
	third := start(t, setup{bootstrap: []peer.AddrInfo{second.info()}})
	find(t, third, root(1), first.host.ID())
}

func TestFindGoesOnUntilSomebodyProvides(t *testing.T) {
	nodes := startNetwork(t, 3)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	found := nodes[0].Find(ctx, root(1))
	provide(t, nodes[2], root(1))
	if f := <-found; f.Peer.ID != nodes[2].host.ID() {
		t.Fatalf("found %v", f)
	}
}

func TestFindBeforeAnyPeerIsThere(t *testing.T) {
	lone := start(t, setup{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	found := lone.Find(ctx, root(1))
	other := start(t, setup{bootstrap: []peer.AddrInfo{lone.info()}})
	provide(t, other, root(1))
	if f := <-found; f.Peer.ID != other.host.ID() {
		t.Fatalf("found %v", f)
	}
}

func TestFindOfWhatNobodyHasEnds(t *testing.T) {
	nodes := startNetwork(t, 4)
	ctx, cancel := context.WithCancel(context.Background())
	found := nodes[1].Find(ctx, root(404))
	select {
	case f, ok := <-found:
		t.Fatalf("found %v, open %v", f, ok)
	default:
	}
	cancel()
	for f := range found {
		t.Errorf("found %v", f)
	}
	nodes[1].finds.Wait()
	if searching() {
		t.Error("a goroutine of the search is left")
	}
}

func TestFindDoesNotReportItself(t *testing.T) {
	nodes := startNetwork(t, 3)
	provide(t, nodes[0], root(1))
	provide(t, nodes[1], root(1))
	find(t, nodes[2], root(1), nodes[0].host.ID())
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if f := <-nodes[0].Find(ctx, root(1)); f.Peer.ID != nodes[1].host.ID() {
		t.Fatalf("found %v", f)
	}
}

func TestCloseEndsSearchesAndCalls(t *testing.T) {
	nodes := startNetwork(t, 3)
	n := nodes[1]
	var found []<-chan Found
	for i := range 20 {
		found = append(found, n.Find(context.Background(), root(i)))
	}
	begin := time.Now()
	must(t, n.Close())
	t.Logf("closed in %v with 20 searches", time.Since(begin))
	for _, f := range found {
		for range f {
		}
	}
	must(t, n.Close())
	if err := n.Provide(context.Background(), root(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("provide after close: %v", err)
	}
	if err := n.Unprovide(context.Background(), root(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("unprovide after close: %v", err)
	}
	for range n.Find(context.Background(), root(1)) {
		t.Error("found after close")
	}
	if err := n.Run(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("run after close: %v", err)
	}
}

func TestCloseWithoutRun(t *testing.T) {
	d, err := New(Config{
		Host: newHost(t, nil, ""), Profile: Local(), Datastore: dssync.MutexWrap(datastore.NewMapDatastore()),
	})
	must(t, err)
	must(t, d.Close())
	must(t, d.Close())
	if err := d.Run(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("run after close: %v", err)
	}
}

func TestRestartNeedsNoBootstrap(t *testing.T) {
	nodes := startNetwork(t, 4)
	n := nodes[3]
	await(t, "a table of three", func() bool { return n.Size() == 3 })
	provide(t, n, root(1))
	key := n.host.Peerstore().PrivKey(n.host.ID())
	n.stop(t)
	nodes[0].stop(t) // the one it started with is gone too

	again := start(t, setup{key: key, store: n.store})
	ready(t, again)
	find(t, nodes[1], root(1), again.host.ID())
	await(t, "the set of roots to be back", func() bool { return again.Status().Provided == 1 })
}

// TestRootsOfAnEarlierRunAreAnnounced uses the datastore of the daemon, closed and opened again.
func TestRootsOfAnEarlierRunAreAnnounced(t *testing.T) {
	dir := t.TempDir()
	store, err := pebbleds.NewDatastore(dir)
	must(t, err)
	first := start(t, setup{store: store})
	provide(t, first, root(1), root(2))
	key := first.host.Peerstore().PrivKey(first.host.ID())
	first.stop(t)
	must(t, store.Close())

	store, err = pebbleds.NewDatastore(dir)
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	again := start(t, setup{key: key, store: store})
	other := start(t, setup{bootstrap: []peer.AddrInfo{again.info()}})
	find(t, other, root(2), again.host.ID())
	await(t, "both roots to be announced", func() bool {
		s := again.Status()
		return s.Provided == 2 && s.Waiting == 0
	})
}

// TestSharedWhileEverybodyIsAway is about a node that had peers and lost them: its next peer gets the records at once.
func TestSharedWhileEverybodyIsAway(t *testing.T) {
	nodes := startNetwork(t, 2)
	nodes[1].stop(t)
	for i := range 10 {
		provide(t, nodes[0], root(i))
	}
	await(t, "the table to be empty", func() bool { return nodes[0].Size() == 0 })
	next := start(t, setup{bootstrap: []peer.AddrInfo{nodes[0].info()}})
	begin := time.Now()
	await(t, "all to be announced", func() bool { return nodes[0].Status().Waiting == 0 })
	t.Logf("announced %v after the next peer started", time.Since(begin))
	find(t, next, root(3), nodes[0].host.ID())
}

func TestUnprovide(t *testing.T) {
	nodes := startNetwork(t, 2)
	a, b := nodes[0], nodes[1]
	ctx := context.Background()
	answer := func() (ids []peer.ID) {
		provs, _, err := b.asker.GetProviders(ctx, a.host.ID(), root(1).Hash())
		must(t, err)
		for _, p := range provs {
			ids = append(ids, p.ID)
		}
		return ids
	}
	provide(t, a, root(1))
	if ids := answer(); !slices.Equal(ids, []peer.ID{a.host.ID()}) {
		t.Fatalf("providing, it says %v", ids)
	}
	must(t, a.Unprovide(ctx, root(1), root(2)))
	if ids := answer(); len(ids) > 0 {
		t.Fatalf("no longer providing, it says %v", ids)
	}
	if all, err := a.keys.Get(ctx, ""); err != nil || len(all) > 0 {
		t.Errorf("keystore: %v, %v", all, err)
	}
	if s := a.Status(); s.Provided != 0 || s.Waiting != 0 {
		t.Errorf("status %+v", s)
	}
	provide(t, a, root(1))
	if ids := answer(); !slices.Equal(ids, []peer.ID{a.host.ID()}) {
		t.Fatalf("providing again, it says %v", ids)
	}
}

// A root that is provided again before its Unprovide has ended stays with the sweeper.
func TestProvideDuringUnprovide(t *testing.T) {
	n := start(t, setup{})
	ctx := context.Background()
	provide(t, n, root(1))
	going, err := n.roots.leave(ctx, []mh.Multihash{root(1).Hash()})
	must(t, err)
	provide(t, n, root(1))
	must(t, n.drop(ctx, going))
	if all, err := n.keys.Get(ctx, ""); err != nil || len(all) != 1 {
		t.Errorf("keystore: %v, %v", all, err)
	}
}

func TestProvideIsIdempotentAndChecksItsInput(t *testing.T) {
	n := start(t, setup{})
	provide(t, n, root(1), root(1), root(2))
	provide(t, n, root(2))
	if s := n.Status(); s.Provided != 2 {
		t.Errorf("status %+v", s)
	}
	if err := n.Provide(context.Background(), cid.Undef); err == nil {
		t.Error("an undefined CID was taken")
	}
	if err := n.Unprovide(context.Background(), cid.Undef); err == nil {
		t.Error("an undefined CID was taken back")
	}
	for range n.Find(context.Background(), cid.Undef) {
		t.Error("an undefined CID was found")
	}
}

func TestRootsOutliveTheNodeThatIntroducedThem(t *testing.T) {
	nodes := startNetwork(t, 6)
	warm(t, nodes)
	sharer, finder := nodes[3], nodes[5]
	provide(t, sharer, root(1))
	nodes[0].stop(t)
	find(t, finder, root(1), sharer.host.ID())
	await(t, "the table to lose who left", func() bool {
		return !slices.Contains(finder.kad.RoutingTable().ListPeers(), nodes[0].host.ID()) || !finder.connected(nodes[0].host.ID())
	})
}

func TestRecordsStayWithOthersWhenTheProviderLeaves(t *testing.T) {
	nodes := startNetwork(t, 5)
	warm(t, nodes)
	sharer := nodes[3]
	provide(t, sharer, root(1))
	await(t, "the record to be out", func() bool { return sharer.Status().Waiting == 0 })
	sharer.stop(t)
	late := start(t, setup{bootstrap: []peer.AddrInfo{nodes[1].info()}})
	if f, _ := find(t, late, root(1), sharer.host.ID()); len(f.Peer.Addrs) == 0 {
		t.Error("no addresses")
	}
}

func TestPeersAndStatus(t *testing.T) {
	nodes := startNetwork(t, 3)
	n := nodes[2]
	await(t, "a table of two", func() bool { return n.Size() == 2 })
	peers := n.Peers()
	if len(peers) != 2 {
		t.Fatalf("peers %+v", peers)
	}
	var boot int
	for _, p := range peers {
		if !p.InTable || !p.Connected || len(p.Addrs) == 0 {
			t.Errorf("peer %+v", p)
		}
		if slices.Contains(p.Sources, "bootstrap") {
			boot++
		}
	}
	if s := n.Status(); boot != 1 || s.Network != "local" || !s.Ready || s.Connected != 2 {
		t.Errorf("%d bootstrap peers, status %+v", boot, s)
	}
}

func TestConfigIsChecked(t *testing.T) {
	n := start(t, setup{})
	ok := Config{Host: n.host, Profile: Local(), Datastore: n.store}
	for _, tt := range []struct {
		name  string
		spoil func(*Config)
	}{
		{"no host", func(c *Config) { c.Host = nil }},
		{"no datastore", func(c *Config) { c.Datastore = nil }},
		{"prefix without slash", func(c *Config) { c.Profile.Prefix = "shoal" }},
		{"prefix with a slash at the end", func(c *Config) { c.Profile.Prefix = "/shoal/" }},
		{"no bucket size", func(c *Config) { c.Profile.BucketSize = 0 }},
		{"tiny answers", func(c *Config) { c.Profile.MaxResponse = 100 }},
		{"mdns without tag", func(c *Config) { c.Profile.MDNS = true }},
		{"bootstrap that is no address", func(c *Config) { c.Profile.Bootstrap = []string{"example.org"} }},
		{"bootstrap without peer ID", func(c *Config) { c.Profile.Bootstrap = []string{"/ip4/127.0.0.1/tcp/1"} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := ok
			tt.spoil(&cfg)
			if _, err := New(cfg); err == nil {
				t.Error("accepted")
			}
		})
	}
	if _, err := New(ok); err != nil {
		t.Error(err)
	}
}
