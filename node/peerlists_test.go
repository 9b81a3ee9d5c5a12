package node

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/dht"
	"shoal/node/api"
)

// TestGaterKeepsToTheLists asks at each place where a connection can be stopped.
func TestGaterKeepsToTheLists(t *testing.T) {
	friend, foe, stranger := test.RandPeerIDFatal(t), test.RandPeerIDFatal(t), test.RandPeerIDFatal(t)
	for _, row := range []struct {
		name    string
		said    map[peer.ID]verdict
		welcome []peer.ID
	}{
		{"no lists", nil, []peer.ID{friend, foe, stranger}},
		{"a ban", map[peer.ID]verdict{foe: banned}, []peer.ID{friend, stranger}},
		{"an allow list", map[peer.ID]verdict{friend: allowed}, []peer.ID{friend}},
		{"both", map[peer.ID]verdict{friend: allowed, foe: banned}, []peer.ID{friend}},
		{"both lifted", map[peer.ID]verdict{friend: "", foe: ""}, []peer.ID{friend, foe, stranger}},
	} {
		rules, err := loadPeerRules(dssync.MutexWrap(datastore.NewMapDatastore()))
		if err != nil {
			t.Fatal(err)
		}
		if err := rules.set(t.Context(), row.said); err != nil {
			t.Fatal(err)
		}
		g := &gater{profile: dht.Local(), named: newNamed(nil), rules: rules}
		for _, id := range []peer.ID{friend, foe, stranger} {
			want := slices.Contains(row.welcome, id)
			for place, got := range map[string]bool{
				"to dial a peer":     g.InterceptPeerDial(id),
				"to dial an address": g.InterceptAddrDial(id, ma.StringCast("/ip4/127.0.0.1/tcp/1")),
				"in, secured":        g.InterceptSecured(network.DirInbound, id, nil),
				"out, secured":       g.InterceptSecured(network.DirOutbound, id, nil),
			} {
				if got != want {
					t.Errorf("%s, %s: %v", row.name, place, got)
				}
			}
		}
	}
}

func TestPeerListsAreKept(t *testing.T) {
	ds := dssync.MutexWrap(datastore.NewMapDatastore())
	a, b := test.RandPeerIDFatal(t), test.RandPeerIDFatal(t)
	for _, step := range []struct {
		changes map[peer.ID]verdict
		want    map[peer.ID]verdict
	}{
		{map[peer.ID]verdict{a: allowed, b: banned}, map[peer.ID]verdict{a: allowed, b: banned}},
		{map[peer.ID]verdict{a: banned}, map[peer.ID]verdict{a: banned, b: banned}},
		{map[peer.ID]verdict{a: "", b: allowed}, map[peer.ID]verdict{b: allowed}},
		{map[peer.ID]verdict{a: ""}, map[peer.ID]verdict{b: allowed}},
	} {
		rules, err := loadPeerRules(ds)
		if err != nil {
			t.Fatal(err)
		}
		if err := rules.set(t.Context(), step.changes); err != nil {
			t.Fatal(err)
		}
		again, err := loadPeerRules(ds)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []*peerRules{rules, again} {
			if len(r.said) != len(step.want) || r.said[a] != step.want[a] || r.said[b] != step.want[b] {
				t.Errorf("after %v: %v, want %v", step.changes, r.said, step.want)
			}
		}
		if rules.allowed != again.allowed {
			t.Errorf("after %v: %d allowed are counted, %d on disk", step.changes, rules.allowed, again.allowed)
		}
	}
	if err := ds.Put(t.Context(), datastore.NewKey("/peerlists/"+a.String()), []byte("maybe")); err != nil {
		t.Fatal(err)
	}
	if _, err := loadPeerRules(ds); err == nil || !strings.Contains(err.Error(), "maybe") {
		t.Errorf("a verdict that cannot be read: %v", err)
	}
}

func TestPeerListsAreBounded(t *testing.T) {
	rules, err := loadPeerRules(dssync.MutexWrap(datastore.NewMapDatastore()))
	if err != nil {
		t.Fatal(err)
	}
	for range maxListed {
		rules.put(test.RandPeerIDFatal(t), banned)
	}
	err = rules.set(t.Context(), map[peer.ID]verdict{test.RandPeerIDFatal(t): banned})
	if api.AsError(err).Code != api.Invalid {
		t.Errorf("one more than %d: %v", maxListed, err)
	}
}

// slowConn is a connection that closes only once others are being closed as well.
type slowConn struct {
	network.Conn
	id  peer.ID
	all *sync.WaitGroup
}

func (c slowConn) RemotePeer() peer.ID { return c.id }

func (c slowConn) CloseWithError(network.ConnErrorCode) error {
	c.all.Done()
	c.all.Wait()
	return nil
}

// TestExpelWaitsForAllAtOnce allows a friend while strangers are connected that take long to close.
func TestExpelWaitsForAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules, err := loadPeerRules(dssync.MutexWrap(datastore.NewMapDatastore()))
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 8 {
			all.Add(1)
			if !rules.admit(slowConn{id: test.RandPeerIDFatal(t), all: &all}) {
				t.Fatal("a stranger was refused")
			}
		}
		if err := rules.set(t.Context(), map[peer.ID]verdict{test.RandPeerIDFatal(t): allowed}); err != nil || len(rules.conns) > 0 {
			t.Errorf("%v, %d peers are still connected", err, len(rules.conns))
		}
	})
}

// TestBanClosesLanes bans a peer from which much comes over several connections, those of the lanes among them.
func TestBanClosesLanes(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path, _ := randomFile(t, t.TempDir(), "film.bin", 128<<20)
	shared := mustShare(t, a, path)
	slow := int64(8 << 20) // so that it is under way long enough
	if _, err := b.SetLimits(t.Context(), api.LimitRequest{Down: &slow}); err != nil {
		t.Fatal(err)
	}
	conns := func() []network.Conn {
		b.rules.mu.Lock()
		defer b.rules.mu.Unlock()
		return slices.Clone(b.rules.conns[a.host.ID()])
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tested := false
	_, err := b.Get(ctx, api.GetRequest{Link: shared.Link, Dir: t.TempDir()}, func(p api.Progress) {
		open := conns()
		if len(open) < 2 || tested {
			return
		}
		tested = true
		if _, err := b.SetPeerLists(ctx, api.PeerListRequest{Ban: []string{a.host.ID().String()}}); err != nil {
			t.Error(err)
		}
		for _, c := range open {
			if !c.IsClosed() {
				t.Errorf("%s is still open", c)
			}
		}
		if left := conns(); len(left) > 0 {
			t.Errorf("a banned peer has connections: %v", left)
		}
		if peers, err := b.Peers(ctx); err != nil || len(peers) > 0 {
			t.Errorf("the peers are %v, %v", peers, err)
		}
		cancel()
	})
	if !tested {
		t.Fatalf("the fetch ended before there was a second connection: %v", err)
	}
}

func TestParsePeerID(t *testing.T) {
	for _, text := range []string{somePeer, "/p2p/" + somePeer, "/ip4/192.0.2.1/tcp/1/p2p/" + somePeer} {
		if id, err := parsePeerID(text); err != nil || id.String() != somePeer {
			t.Errorf("%s is %s, %v", text, id, err)
		}
	}
	for _, text := range []string{"", "ann", "/ip4/192.0.2.1/tcp/1", somePeer[1:]} {
		if id, err := parsePeerID(text); err == nil {
			t.Errorf("%q is %s", text, id)
		}
	}
}
