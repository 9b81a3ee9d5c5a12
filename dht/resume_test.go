package dht

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	mh "github.com/multiformats/go-multihash"
)

// TestRestartAnnouncesNothingAgain restarts a node that has announced roots. kad-dht would announce all of them again; it does not,
// since it believes the history that resume has written, and still announces what is new.
func TestRestartAnnouncesNothingAgain(t *testing.T) {
	nodes := startNetwork(t, 6)
	warm(t, nodes)
	key, _, err := crypto.GenerateEd25519Key(nil)
	must(t, err)
	boot := []peer.AddrInfo{nodes[0].info()}
	n := start(t, setup{key: key, bootstrap: boot})
	warm(t, append(nodes, n))
	var roots []cid.Cid
	for i := range 100 {
		roots = append(roots, root(i))
	}
	provide(t, n, roots...)
	announcedAll := func(n *node, total int) {
		t.Helper()
		await(t, "everything to be announced", func() bool {
			s := n.Status()
			return s.Provided == total && s.Waiting == 0
		})
	}
	announcedAll(n, len(roots))
	if sent := n.Status().Sent; sent < int64(len(roots)) { // how many a root needs depends on who is known by then
		t.Errorf("%d records sent at first, for %d roots", sent, len(roots))
	}
	n.stop(t)

	again := start(t, setup{key: key, bootstrap: boot, store: n.store})
	warm(t, append(nodes, again))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	provide(t, again, append(roots, root(1000))...)
	f, err := again.AwaitFindable(ctx, root(1000))
	must(t, err)
	if !f.OK || f.Needed < 1 || f.Needed > enoughHolders || f.Holders < f.Needed {
		t.Fatalf("findable %+v", f)
	}
	announcedAll(again, len(roots)+1)
	if sent := again.Status().Sent; sent > int64(len(nodes))*2 {
		t.Errorf("%d records sent after the restart, for one new root", sent)
	}
}

func TestFreshRegions(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	see := func(f *fresh, i int, age time.Duration) { f.see(root(i).Hash(), now.Add(-age)) }
	t.Run("nothing announced", func(t *testing.T) {
		f := fresh{now: now}
		if r := f.regions(); r != nil {
			t.Errorf("regions %v", r)
		}
	})
	t.Run("all fresh", func(t *testing.T) {
		f := fresh{now: now}
		see(&f, 1, time.Hour)
		see(&f, 2, 5*time.Hour)
		if r := f.regions(); len(r) != 1 || r[0].prefix != "" || !r[0].at.Equal(now.Add(-5*time.Hour)) {
			t.Errorf("regions %v", r)
		}
	})
	for name, age := range map[string]time.Duration{"an old one": reprovideEvery, "one from the future": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			f := fresh{now: now}
			see(&f, 1, time.Hour)
			see(&f, 2, age)
			if r := f.regions(); len(r) != 255 {
				t.Errorf("%d regions", len(r))
			}
		})
	}
}

func TestHolders(t *testing.T) {
	var h holders
	for _, p := range []peer.ID{"peer one", "peer two", "peer one", "no"} {
		h.add(p)
	}
	if h.n != 2 {
		t.Errorf("%d holders", h.n)
	}
	for i := range 20 {
		h.add(peerID(t, i))
	}
	if int(h.n) != enoughHolders {
		t.Errorf("%d holders", h.n)
	}
}

// TestEnoughHolders: a root waits until enough peers took its record, all of them in a small network, and fewer when that shrinks.
func TestEnoughHolders(t *testing.T) {
	ctx := t.Context()
	r := newRoots(mapStore())
	a, b := root(1).Hash(), root(2).Hash()
	_, err := r.add(ctx, []mh.Multihash{a, b})
	must(t, err)
	r.need(3, true)
	r.delivered(a, "peer one")
	r.delivered(a, "peer two")
	r.delivered(a, "peer two")
	r.delivered(b, "peer one")
	if waits, have, enough := r.holding(a); !waits || have != 2 || enough != 3 {
		t.Errorf("waits %v, %d of %d", waits, have, enough)
	}
	changed := r.change.next()
	r.need(2, false)
	r.need(0, true)
	if _, _, enough := r.holding(a); enough != 3 {
		t.Errorf("%d are enough while the table changes", enough)
	}
	r.need(2, true)
	if waits, _, _ := r.holding(a); waits || !isClosed(changed) {
		t.Error("two are enough now, and nobody was told")
	}
	if waits, _, _ := r.holding(b); !waits {
		t.Error("one is not enough")
	}
	r.need(100, false)
	if _, _, enough := r.holding(b); enough != enoughHolders {
		t.Errorf("%d are enough", enough)
	}
}

func TestGatherWritesTogether(t *testing.T) {
	var g gather
	var wg sync.WaitGroup
	entered, leave := make(chan struct{}), make(chan struct{})
	writes, written := 0, 0
	failure := errors.New("disk full")
	write := func(all []mh.Multihash) error {
		writes++ // serial by contract
		written += len(all)
		if writes == 1 {
			close(entered)
			<-leave
			return nil
		}
		return failure
	}
	wg.Go(func() {
		if err := g.do([]mh.Multihash{root(0).Hash()}, write); err != nil {
			t.Errorf("first: %v", err)
		}
	})
	<-entered
	for i := range 50 {
		wg.Go(func() {
			if err := g.do([]mh.Multihash{root(i).Hash()}, write); err != failure {
				t.Errorf("later: %v", err)
			}
		})
	}
	await(t, "all to be there", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.come) == 50
	})
	close(leave)
	wg.Wait()
	if writes != 2 || written != 51 {
		t.Errorf("%d writes of %d", writes, written)
	}
}

// FuzzRootRow: whatever a row holds, it is refused or has exactly this form.
func FuzzRootRow(f *testing.F) {
	for _, row := range []string{"w", "a", "l", "a\x80\xd2\xa8\xda\x06", "", "x", "a\x80", "ww"} {
		f.Add([]byte(row))
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		state, at := decodeRoot(row)
		if state == 0 {
			return
		}
		if again := encodeRoot(state, at); !bytes.Equal(again, row) {
			t.Errorf("%x was read as %c %v, which is %x", row, state, at, again)
		}
	})
}
