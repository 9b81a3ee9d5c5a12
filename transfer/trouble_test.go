package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	p2p "github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/transfer/wire"
)

// What is remembered of a candidate: the last trouble that says something, until the peer sends.
func TestCandidateTrouble(t *testing.T) {
	backoff := fmt.Errorf("connect: %w", &p2p.DialError{Cause: p2p.ErrDialBackoff})
	refused := errors.New("refused")
	for _, row := range []struct {
		name string
		do   func(k *candidates, now time.Time)
		want error // of the peer while it is not connected
		told error // what it has said itself
	}{
		{"nothing yet", func(k *candidates, now time.Time) {}, nil, nil},
		{"a failed dial", func(k *candidates, now time.Time) { k.note("p", refused); k.failed("p", now) }, refused, nil},
		{"a dial that libp2p puts off", func(k *candidates, now time.Time) {
			k.note("p", refused)
			k.note("p", backoff)
		}, refused, nil},
		{"nothing but that", func(k *candidates, now time.Time) { k.note("p", backoff) }, backoff, nil},
		{"a dial that succeeds later", func(k *candidates, now time.Time) { k.note("p", refused); k.active("p") }, nil, nil},
		{"left without a reason", func(k *candidates, now time.Time) { k.active("p"); k.retry("p", now) }, ErrSilent, nil},
		{"dropped", func(k *candidates, now time.Time) { k.active("p"); k.later("p", now) }, ErrSilent, nil},
		{"has not the root", func(k *candidates, now time.Time) { k.noteTold("p", ErrNotFound); k.refused("p", now) }, ErrNotFound, ErrNotFound},
		{"said so, and is asked again", func(k *candidates, now time.Time) { k.noteTold("p", ErrChanged); k.active("p") }, ErrChanged, ErrChanged},
		{"sends after all", func(k *candidates, now time.Time) { k.noteTold("p", ErrChanged); k.proved("p") }, nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			var k candidates
			k.init(Config{MaxCandidates: 3, MaxPeers: 2, MaxDials: 1})
			k.add("self", peer.AddrInfo{ID: "p", Addrs: []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/1")}}, false)
			now := time.Now()
			if _, ok := k.pick(now); !ok {
				t.Fatal("nobody to dial")
			}
			row.do(&k, now)
			known := k.appendKnown(nil, func(peer.ID) bool { return false })
			if len(known) != 1 || known[0].Err != row.want || k.trouble("p") != row.told {
				t.Errorf("%+v, told %v; want %v, %v", known, k.trouble("p"), row.want, row.told)
			}
		})
	}
}

// Stats tells of at most maxKnown candidates, those with trouble first.
func TestKnownIsBounded(t *testing.T) {
	var k candidates
	k.init(Config{MaxCandidates: 1000, MaxPeers: 2, MaxDials: 1})
	for i := range 500 {
		k.add("self", peer.AddrInfo{ID: peer.ID(fmt.Sprint(i))}, false)
	}
	k.note("499", io.EOF)
	known := k.appendKnown(nil, func(id peer.ID) bool { return id == "0" })
	if len(known) != maxKnown || known[0].ID != "499" || known[1].ID != "1" {
		t.Errorf("%d known, first %+v", len(known), known[:2])
	}
}

func TestCodesAreErrors(t *testing.T) {
	for _, err := range []error{ErrNotFound, ErrChanged, ErrNotHave} {
		if got := errOf(codeOf(err)); got != err {
			t.Errorf("%v is told as %v", err, got)
		}
	}
	for code, want := range map[wire.Code]error{
		wire.CodeRead: ErrRead, wire.CodeLimit: ErrBusy, wire.CodeDenied: ErrDenied, wire.CodeOther: ErrRead, 200: ErrRead,
	} {
		if got := errOf(code); got != want {
			t.Errorf("code %d is %v, want %v", code, got, want)
		}
	}
}

// fetchUntil fetches until the Stats are as wanted.
func fetchUntil(t *testing.T, leech *testPeer, job Job, peers <-chan peer.AddrInfo, cond func(Stats) bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	var last Stats
	met := false
	_, err := leech.Fetch(ctx, job, peers, func(s Stats) {
		if last = s; cond(s) {
			met = true
			cancel()
		}
	})
	if !met {
		t.Errorf("%v; %+v", err, last)
	}
}

// A fetch says of each peer what is against it.
func TestStatsTellTrouble(t *testing.T) {
	c := newContent(40, 8, sizesOf(24, 20_000)...)
	known := func(id peer.ID, want error) func(Stats) bool {
		return func(s Stats) bool {
			return len(s.Known) == 1 && s.Known[0].ID == id && errors.Is(s.Known[0].Err, want)
		}
	}
	t.Run("has not the root", func(t *testing.T) {
		other, leech := newPeer(t, Config{}), newPeer(t, Config{})
		fetchUntil(t, leech, newJob(c.root), offer(other), known(other.ID(), ErrNotFound))
	})
	t.Run("corrupt", func(t *testing.T) {
		leech, h := newPeer(t, Config{}), newHost(t)
		h.SetStreamHandler(wire.ID, func(s network.Stream) {
			p := newRaw(t, s)
			r := p.start(c)
			p.send(wire.Data{Handle: r.Handle, Leaf: r.Runs[0].First, Payload: make([]byte, 20_000)})
			_, _ = io.Copy(io.Discard, p.br)
		})
		peers := make(chan peer.AddrInfo, 1)
		peers <- peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}
		corrupt := known(h.ID(), ErrCorrupt)
		fetchUntil(t, leech, newJob(c.root), peers, func(s Stats) bool { return corrupt(s) && s.Known[0].Banned && s.Corrupt == 20_000 })
	})
	t.Run("nothing listens", func(t *testing.T) {
		leech, gone := newPeer(t, Config{}), newHost(t)
		peers := make(chan peer.AddrInfo, 1)
		peers <- peer.AddrInfo{ID: gone.ID(), Addrs: gone.Addrs()}
		if err := gone.Close(); err != nil {
			t.Fatal(err)
		}
		fetchUntil(t, leech, newJob(c.root), peers, func(s Stats) bool {
			var dial *p2p.DialError
			return len(s.Known) == 1 && s.Known[0].Tries > 0 && errors.As(s.Known[0].Err, &dial)
		})
	})
	t.Run("changed, and connected", func(t *testing.T) {
		seed, leech := newPeer(t, Config{}, newContent(40, 8, sizesOf(24, 20_000)...)), newPeer(t, Config{})
		for i := range 24 {
			seed.src.roots[c.root].changed[i] = true
		}
		fetchUntil(t, leech, newJob(c.root), offer(seed), func(s Stats) bool {
			return len(s.Peers) == 1 && s.Peers[0].Answered && errors.Is(s.Peers[0].Err, ErrChanged) && s.Lost == 24
		})
	})
	t.Run("leaves that nobody has", func(t *testing.T) {
		half, leech := newPeer(t, Config{}, c.only(func(i int) bool { return i < 10 })), newPeer(t, Config{})
		fetchUntil(t, leech, newJob(c.root), offer(half), func(s Stats) bool { return s.Have == 10 && s.Lost == 14 })
	})
}

// Reach tells who can be reached.
func TestReach(t *testing.T) {
	a, b, h := newPeer(t, Config{}), newPeer(t, Config{}), newHost(t)
	if err := a.Reach(testContext(t), b.info()); err != nil {
		t.Error(err)
	}
	if err := a.Reach(testContext(t), peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}); err == nil {
		t.Error("a host without the protocol was reached")
	}
}
