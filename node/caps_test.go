package node

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/dht"
	"shoal/node/api"
)

// cappedHost is a node's host with caps of its own.
func cappedHost(t *testing.T, c caps) (host.Host, *pacer) {
	t.Helper()
	set, err := Config{Home: t.TempDir(), Network: "local"}.check()
	if err != nil {
		t.Fatal(err)
	}
	set.caps = c
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dials := newPacer(c)
	rules, err := loadPeerRules(datastore.NewMapDatastore())
	if err != nil {
		t.Fatal(err)
	}
	h, err := openHost(set, key, metrics.NewBandwidthCounter(), &gater{profile: set.profile, named: newNamed(nil), rules: rules, dials: dials})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dials.close(); h.Close() })
	return h, dials
}

// bareHost is a peer that is no shoal.
func bareHost(t *testing.T) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics(),
		libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// TestConnectionsAreCapped has more peers dial a node than it takes, and looks at the number of connections at each change.
func TestConnectionsAreCapped(t *testing.T) {
	c := caps{connsLow: 4, connsHigh: 6, connsMost: 9, dials: 100, burst: 100}
	h, _ := cappedHost(t, c)
	var mu sync.Mutex
	most := 0
	h.Network().Notify(&network.NotifyBundle{ConnectedF: func(n network.Network, _ network.Conn) {
		mu.Lock()
		defer mu.Unlock()
		most = max(most, len(n.Conns()))
	}})
	target := peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}
	refused := 0
	for range 3 * c.connsHigh {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		p := bareHost(t)
		if err := p.Connect(ctx, target); err == nil {
			// The dialler's half may be up before the other side has refused: a stream shows.
			if s, err := p.NewStream(ctx, h.ID(), "/ipfs/id/1.0.0"); err == nil {
				s.Reset()
				cancel()
				continue
			}
		}
		refused++
		cancel()
	}
	mu.Lock()
	if most > c.connsHigh || refused == 0 {
		t.Errorf("%d connections at most, cap %d for inbound ones; %d refused", most, c.connsHigh, refused)
	}
	mu.Unlock()
	// There is room left for those that the node itself wants.
	friend := bareHost(t)
	if err := h.Connect(t.Context(), peer.AddrInfo{ID: friend.ID(), Addrs: friend.Addrs()}); err != nil {
		t.Errorf("a dial of its own: %v", err)
	}
}

// TestDialsAreCapped asks for thousands of dials at once, as a search does that names peers nobody has heard of.
func TestDialsAreCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := defaultCaps()
		p := newPacer(c)
		begin := time.Now()
		var mu sync.Mutex
		var at []time.Duration
		var wg sync.WaitGroup
		for range 5000 {
			wg.Go(func() {
				if p.wait(nobodyWaits) {
					mu.Lock()
					defer mu.Unlock()
					at = append(at, time.Since(begin))
				}
			})
		}
		synctest.Wait() // now as many wait as may
		if p.wait(nobodyWaits) || !p.wait(someoneWaits) {
			t.Error("there is no more room for a peer that someone waits for than for others")
		}
		wg.Wait()
		perSecond := map[int]int{}
		for _, d := range at {
			perSecond[int(d/time.Second)]++
		}
		for s, n := range perSecond {
			if bound := int(c.dials) + 1; s > 0 && n > bound || s == 0 && n > bound+c.burst {
				t.Errorf("%d dials in second %d", n, s)
			}
		}
		if want := c.burst + int(dialWait.Seconds()*float64(c.dials)); len(at) < want-1 || len(at) > want+1 {
			t.Errorf("%d dials in %s, want %d", len(at), dialWait, want)
		}
		if !p.wait(noWait) {
			t.Error("a peer that the user named was refused")
		}
		p.close()
		if p.wait(nobodyWaits) {
			t.Error("a dial was allowed after the end")
		}
	})
}

// TestTheHostKeepsToTheDialRate dials peers that nobody is behind through a real host and counts what the swarm let through.
func TestTheHostKeepsToTheDialRate(t *testing.T) {
	c := caps{connsLow: 160, connsHigh: 256, connsMost: 320, dials: 1, burst: 5}
	h, dials := cappedHost(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range 200 {
		_, pub, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		id, err := peer.IDFromPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		addr := ma.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", 1+i%100))
		wg.Go(func() {
			if err := h.Connect(ctx, peer.AddrInfo{ID: id, Addrs: []ma.Multiaddr{addr}}); err == nil {
				t.Error("somebody answered")
			}
		})
	}
	wg.Wait()
	cancel()
	dials.mu.Lock()
	defer dials.mu.Unlock()
	if allowed := c.burst + int(time.Since(begin).Seconds()*float64(c.dials)) + 1; dials.all > allowed || dials.all < c.burst {
		t.Errorf("%d dials in %s, at most %d are allowed", dials.all, time.Since(begin), allowed)
	}
}

// TestAPacedDialIsNoRefusal tells a dial that our own pace stopped from one that the lists do.
func TestAPacedDialIsNoRefusal(t *testing.T) {
	n, _ := startNode(t, t.TempDir())
	n.dials.limit.SetBurst(0)
	h := bareHost(t)
	for _, row := range []struct {
		verdict
		want api.CauseCode
	}{{"", api.CausePaced}, {banned, api.CauseBanned}, {allowed, api.CausePaced}} {
		if err := n.rules.set(t.Context(), map[peer.ID]verdict{h.ID(): row.verdict}); err != nil {
			t.Fatal(err)
		}
		err := n.dial(t.Context(), peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
		if code, detail := n.troubleWith(h.ID(), err); code != row.want || detail == "" {
			t.Errorf("%q: %s, %q of %v", row.verdict, code, detail, err)
		}
	}
	// The swarm's error of a peer that was banned is that of one that had to wait.
	other := bareHost(t)
	ban := func(v verdict) {
		if err := n.rules.set(t.Context(), map[peer.ID]verdict{h.ID(): "", other.ID(): v}); err != nil {
			t.Fatal(err)
		}
	}
	ban(banned)
	err := n.dial(t.Context(), peer.AddrInfo{ID: other.ID(), Addrs: other.Addrs()})
	ban("")
	if code, detail := n.troubleWith(other.ID(), err); err == nil || code != "" || detail != "" {
		t.Errorf("the ban is lifted: %s, %q of %v", code, detail, err)
	}
	ban(banned)
	for _, err := range []error{nil, io.EOF} {
		if code, detail := n.troubleWith(other.ID(), err); code != api.CauseBanned || detail != "the peer is banned here" {
			t.Errorf("not dialled since it is banned: %s, %q", code, detail)
		}
	}
}

// TestFoundPeersAreWanted looks at how a peer counts while someone waits for it, and after.
func TestFoundPeersAreWanted(t *testing.T) {
	found, hint := peer.ID("found"), peer.ID("hint")
	known := newNamed([]peer.AddrInfo{{ID: hint}})
	first, second := known.wants(), known.wants()
	first.add(found)
	first.add(found)
	second.add(found)
	if h := known.hurry(found); h != someoneWaits || known.hurry(hint) != noWait || known.has(found) {
		t.Errorf("found: %d, hint: %d", h, known.hurry(hint))
	}
	first.end()
	if known.hurry(found) != someoneWaits {
		t.Error("one still waits")
	}
	if second.end(); known.hurry(found) != nobodyWaits || len(known.wanted) > 0 {
		t.Errorf("nobody waits any more: %v", known.wanted)
	}
}

// TestCapsAreTheSameInEveryNetwork: they belong to the node, not to a profile.
func TestCapsAreTheSameInEveryNetwork(t *testing.T) {
	for _, p := range append(dht.Profiles(), dht.PrivateNetwork("team")) {
		set, err := Config{Home: t.TempDir(), Network: p.Name}.check()
		if err != nil {
			t.Fatal(err)
		}
		if set.caps != defaultCaps() {
			t.Errorf("%s: %+v", p.Name, set.caps)
		}
	}
}

func TestStatusShowsTheCaps(t *testing.T) {
	a, _ := startNode(t, t.TempDir())
	b, _ := startNode(t, t.TempDir(), a)
	path, _ := randomFile(t, t.TempDir(), "one", 1000)
	mustShare(t, b, path)
	st, err := b.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c := st.Caps; c.Connections.Most != 320 || c.Dials.Most != 20 || c.Memory.Most != MemoryCap || c.Overhead.Most != overheadCap {
		t.Errorf("caps %+v", c)
	}
	if st.Provided != 1 || st.Waiting > 1 {
		t.Errorf("%d provided, %d wait", st.Provided, st.Waiting)
	}
}
