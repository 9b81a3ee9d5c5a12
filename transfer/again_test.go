package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/transfer/wire"
)

// A provider cannot give a root, or a part of it; then that passes, and the fetch that has waited all the while ends.
// No row restarts anything at the fetcher.
func TestNoRefusalIsForTheSession(t *testing.T) {
	quick := Config{LookEvery: 50 * time.Millisecond}
	all := func(c *content) {
		for i := range c.leaves {
			c.changed[i] = true
		}
	}
	for _, row := range []struct {
		name    string
		hinder  func(c *content)
		refused func(s Stats) bool
		lift    func(seed *testPeer, c *content)
		fetcher Config
	}{
		{
			name:    "the file has changed, and is restored",
			hinder:  all,
			refused: func(s Stats) bool { return len(s.Peers) == 1 && errors.Is(s.Peers[0].Err, ErrChanged) },
			lift:    func(_ *testPeer, c *content) { c.mend() },
		},
		{
			name:    "one leaf has changed, and is restored",
			hinder:  func(c *content) { c.changed[3] = true },
			refused: func(s Stats) bool { return s.Have == 23 && s.Lost == 1 },
			lift:    func(_ *testPeer, c *content) { c.mend() },
		},
		{
			name:    "it was known to have changed before the want",
			hinder:  func(c *content) { c.marked = map[int]bool{3: true, 4: true, 9: true} },
			refused: func(s Stats) bool { return s.Have == 21 && errors.Is(s.Peers[0].Lacks, ErrChanged) },
			lift:    func(_ *testPeer, c *content) { c.mend() },
		},
		{
			name:    "a provider that does not announce it again is asked again",
			hinder:  func(c *content) { c.changed[3] = true },
			refused: func(s Stats) bool { return s.Have == 23 && s.Lost == 1 },
			lift: func(seed *testPeer, c *content) {
				seed.swarms.mu.Lock()
				seed.swarms.roots[c.root].short = nil
				seed.swarms.mu.Unlock()
				c.mend()
			},
			fetcher: Config{GoneTimeout: 500 * time.Millisecond},
		},
		{
			name:    "it is not shared, and then it is",
			hinder:  nil,
			refused: func(s Stats) bool { return len(s.Known) == 1 && errors.Is(s.Known[0].Err, ErrNotFound) },
			lift:    func(seed *testPeer, c *content) { seed.src.put(c) },
		},
		{
			name:    "its sending broke off, and it can be read again",
			hinder:  func(c *content) { c.torn, c.tornIn = 10_000, map[int]bool{20: true} },
			refused: func(s Stats) bool { return s.Have == 23 && len(s.Peers) == 1 && errors.Is(s.Peers[0].Lacks, ErrRead) },
			lift: func(seed *testPeer, c *content) {
				c.mend()
				seed.mu.Lock()
				defer seed.mu.Unlock()
				for l, tear := range seed.torn {
					tear.until = time.Now()
					seed.torn[l] = tear
				}
			},
		},
		{
			name:    "a leaf is damaged, and the file is repaired",
			hinder:  func(c *content) { c.rot = map[int]bool{7: true} },
			refused: func(s Stats) bool { return s.Have == 23 && s.Lost == 1 && s.Corrupt == 300_000 },
			lift:    func(_ *testPeer, c *content) { c.mend() },
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := newContent(50, 8, sizesOf(24, 300_000)...)
			seed, leech, job := newPeer(t, quick), newPeer(t, row.fetcher), newJob(c.root)
			if row.hinder != nil {
				row.hinder(c)
				seed.src.put(c)
			}
			var once sync.Once
			refused := false
			_, err := leech.Fetch(testContext(t), job, offer(seed), func(s Stats) {
				if row.refused(s) {
					once.Do(func() { refused = true; row.lift(seed, c) })
				}
			})
			if err != nil || !refused {
				t.Fatalf("%v; it was refused: %v", err, refused)
			}
			check(t, job, c)
		})
	}
}

// A provider is not there, and then it is: where it was, elsewhere as a search finds, or elsewhere as
// it tells by connecting to us.
func TestNoFailedDialIsForTheSession(t *testing.T) {
	for _, row := range []struct {
		name string
		back func(seed *testPeer, leech *testPeer, peers chan<- peer.AddrInfo)
		same bool // address
	}{
		{"on the same port", func(_, _ *testPeer, _ chan<- peer.AddrInfo) {}, true},
		{"on another port, which is found", func(seed, _ *testPeer, peers chan<- peer.AddrInfo) { peers <- seed.info() }, false},
		{"on another port, and comes to us", func(seed, leech *testPeer, _ chan<- peer.AddrInfo) {
			if err := seed.Connect(context.Background(), leech.info()); err != nil {
				panic(err)
			}
		}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			key, _, err := crypto.GenerateEd25519Key(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			start := func(at string) host.Host {
				h, err := libp2p.New(libp2p.Identity(key), libp2p.ListenAddrStrings(at), libp2p.DisableRelay(), libp2p.DisableMetrics())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = h.Close() })
				return h
			}
			c := newContent(51, 8, sizesOf(24, 20_000)...)
			gone := start("/ip4/127.0.0.1/tcp/0")
			at := gone.Addrs()[0].String()
			leech, job := newPeer(t, Config{}), newJob(c.root)
			peers := make(chan peer.AddrInfo, 2)
			peers <- peer.AddrInfo{ID: gone.ID(), Addrs: []ma.Multiaddr{ma.StringCast(at)}}
			_ = gone.Close()
			var once sync.Once
			_, err = leech.Fetch(testContext(t), job, peers, func(s Stats) {
				if len(s.Known) == 1 && s.Known[0].Tries >= 3 {
					once.Do(func() {
						if !row.same {
							at = "/ip4/127.0.0.1/tcp/0"
						}
						row.back(startPeer(t, start(at), Config{}, c), leech, peers)
					})
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			check(t, job, c)
		})
	}
}

// A root is removed while it is fetched, in the middle of a leaf, and shared again: nothing of it is withheld because of that.
func TestRemovedAndSharedAgain(t *testing.T) {
	c := newContent(52, 8, sizesOf(24, 300_000)...)
	seed := newPeer(t, Config{LookEvery: 50 * time.Millisecond}, c)
	leech, job := newPeer(t, Config{}), newJob(c.root)
	var reads atomic.Int32
	c.onRead = func(i int) {
		if i == 9 && reads.Add(1) == 2 { // its second piece
			seed.src.remove(c)
		}
	}
	var once sync.Once
	stats, err := leech.Fetch(testContext(t), job, offer(seed), func(s Stats) {
		if s.Lost > 0 || len(s.Peers) == 0 && len(s.Known) == 1 && errors.Is(s.Known[0].Err, ErrNotFound) {
			once.Do(func() { seed.src.put(c) })
		}
	})
	if err != nil {
		t.Fatal(err, stats)
	}
	check(t, job, c)
	if len(seed.torn) > 0 {
		t.Errorf("torn: %v", seed.torn)
	}
}

// A provider whose copy is damaged is told which leaf it was, looks for itself, and offers it no longer; one that is told so
// wrongly goes on offering it.
func TestProviderLooksAtDoubtedLeaf(t *testing.T) {
	for _, row := range []struct {
		name string
		leaf uint32
		rot  bool
	}{{"damaged", 5, true}, {"slandered", 5, false}, {"one that there is not", 1 << 31, false}} {
		t.Run(row.name, func(t *testing.T) {
			c := newContent(53, 8, sizesOf(24, 20_000)...)
			c.rot = map[int]bool{5: row.rot}
			seed := newPeer(t, Config{}, c)
			p := subscribed(t, seed, c)
			p.send(wire.Corrupt{Handle: 1, Leaf: row.leaf}, wire.Corrupt{Handle: 1, Leaf: 6},
				wire.Corrupt{Handle: 77, Leaf: 6}, wire.Corrupt{Handle: 1, Leaf: 5})
			if row.rot {
				gone, ok := until[wire.Gone](p)
				if want := (wire.Gone{Handle: 1, Code: wire.CodeChanged, Runs: []wire.Run{{First: 5, Count: 1}}}); !ok || !reflect.DeepEqual(gone, want) {
					t.Errorf("%+v", gone)
				}
			}
			p.send(wire.Request{Handle: 1, Runs: []wire.Run{{First: 6, Count: 1}}})
			if d, ok := until[wire.Data](p); !ok || d.Leaf != 6 {
				t.Errorf("leaf %d, %v", d.Leaf, ok)
			}
			seed.swarms.mu.Lock()
			short := len(seed.swarms.roots[c.root].short)
			seed.swarms.mu.Unlock()
			c.mu.Lock()
			defer c.mu.Unlock()
			if short > 3 {
				t.Errorf("%d bytes of leaves that are short, of a root of 24", short)
			}
			if c.marked[5] != row.rot || c.marked[6] || c.checked > 1 {
				t.Errorf("marked %v; looked at %d leaves, for one peer that asked for four at once", c.marked, c.checked)
			}
		})
	}
}

// A peer that sends a damaged leaf is left alone for longer each time, not for ever, and not asked for that leaf again soon.
func TestCorruptIsNotForEver(t *testing.T) {
	var k candidates
	k.init(Config{MaxCandidates: 3, MaxPeers: 2, MaxDials: 1})
	k.add("me", peer.AddrInfo{ID: "p"}, false)
	now := time.Unix(0, 0)
	for i, wait := range []time.Duration{5, 20, 80, 320, 1280, 1800, 1800} {
		if _, ok := k.pick(now); !ok {
			t.Fatal("not asked again")
		}
		k.active("p")
		k.corrupt("p", now, uint32(i))
		k.add("me", peer.AddrInfo{ID: "p", Addrs: []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/1")}}, true)
		for range proofs {
			k.proved("p") // of what it has sent before
		}
		if runs := k.damaged("p", now); len(runs) == 0 || runs[len(runs)-1].First != uint32(i) {
			t.Errorf("withheld: %v", runs)
		}
		if _, ok := k.pick(now.Add(wait*time.Second - 1)); ok {
			t.Fatalf("asked again within %d s", wait)
		}
		now = now.Add(wait * time.Second)
	}
	if runs := k.damaged("p", now); len(runs) > 0 {
		t.Errorf("withheld for good: %v", runs)
	}
	if _, ok := k.pick(now); !ok {
		t.Fatal("not asked again")
	}
	k.active("p")
	for range proofs {
		k.proved("p")
	}
	k.corrupt("p", now, 1)
	if !k.byID["p"].next.Equal(now.Add(corruptPause)) {
		t.Errorf("%v", k.byID["p"].next.Sub(now))
	}
}

// What was on its way from a peer when it was banned, as on its other connections, is no further reason, but for being a worse one.
func TestOneEventIsOneBan(t *testing.T) {
	var k candidates
	k.init(Config{MaxCandidates: 4, MaxPeers: 4, MaxDials: 4})
	now := time.Now()
	k.add("self", peer.AddrInfo{ID: "p"}, false)
	next := func(want time.Duration) {
		t.Helper()
		if got := k.byID["p"].next.Sub(now); got != want {
			t.Errorf("left alone for %v, want %v", got, want)
		}
	}
	k.corrupt("p", now, 1)
	k.corrupt("p", now, 2)
	next(corruptPause)
	if runs := k.damaged("p", now); len(runs) != 2 {
		t.Errorf("withheld: %v", runs)
	}
	k.ban("p", now)
	next(violationPause)
	now = now.Add(violationPause)
	if _, ok := k.pick(now); !ok {
		t.Fatal("not asked again")
	}
	k.corrupt("p", now, 3)
	k.corrupt("p", now, 4)
	next(4 * corruptPause)
}

func TestGaps(t *testing.T) {
	run := func(first, count uint32) wire.Run { return wire.Run{First: first, Count: count} }
	for _, row := range []struct {
		name   string
		have   []byte
		leaves int
		want   []wire.Run
	}{
		{"all", []byte{0xff, 0x0f}, 12, nil},
		{"none", nil, 12, []wire.Run{run(0, 12)}},
		{"some", []byte{0b11110011, 0x0e}, 14, []wire.Run{run(2, 2), run(8, 1), run(12, 2)}},
		{"a short bitmap", []byte{0x0f}, 20, []wire.Run{run(4, 16)}},
		{"no more than asked for", []byte{0x55, 0x55, 0x55}, 24, []wire.Run{run(1, 1), run(3, 1), run(5, 1), run(7, 1)}},
	} {
		if got := gaps(row.have, row.leaves, 4); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

// What a peer sent on an earlier connection is found to be damaged while it is dialled again: it is not taken on for that dial,
// and not used twice once its time is over.
func TestLetGoWhileDialled(t *testing.T) {
	c := newContent(54, 8, sizesOf(24, 20_000)...)
	seed, leech := newPeer(t, Config{}, c), newPeer(t, Config{})
	s := newSession(leech.Engine, newJob(c.root))
	now := time.Now()
	s.cands.add(leech.ID(), seed.info(), false)
	dial := func(now time.Time) dialed {
		t.Helper()
		ai, ok := s.cands.pick(now)
		if !ok {
			t.Fatal("it is not dialled")
		}
		conn, err := leech.connectFor(testContext(t), ai, c.root)
		return dialed{ai.ID, conn, err}
	}
	first := dial(now)
	s.cands.corrupt(seed.ID(), now, 3)
	s.attach(now, first)
	if len(s.peers) > 0 || s.cands.dialing != 0 || s.cands.using != 0 {
		t.Fatalf("%d peers, %d dialled, %d in use", len(s.peers), s.cands.dialing, s.cands.using)
	}
	now = now.Add(corruptPause)
	second := dial(now)
	s.cands.corrupt(seed.ID(), now, 4)
	now = now.Add(4 * corruptPause)
	third := dial(now)
	for _, d := range []dialed{second, third} {
		s.attach(now, d)
	}
	if p := s.peers[seed.ID()]; p == nil || len(p.sub.c.subs) != 1 || s.cands.dialing != 0 || s.cands.using != 1 {
		t.Errorf("%+v, %d dialled, %d in use", p, s.cands.dialing, s.cands.using)
	}
}
