package transfer

import (
	"runtime"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"shoal/transfer/wire"
)

// The least of all limits of a root counts, for that root alone, and none once all are lifted.
func TestLimitRoot(t *testing.T) {
	sum, err := multihash.Sum([]byte("root"), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	root, other := cid.NewCidV1(cid.Raw, sum), cid.NewCidV1(cid.DagProtobuf, sum)
	l := newLimiter(Limits{Down: 1 << 30})
	rates := func() (up, peerUp, down, peerDown int64) {
		u, d := l.gates(root, peer.ID("p"))
		of := func(b *bucket) int64 {
			if b == nil {
				return 0
			}
			return b.limit.Load()
		}
		return of(u[1]), of(u[0]), of(d[1]), of(d[0])
	}
	want := func(what string, up, peerUp, down, peerDown int64) {
		t.Helper()
		if a, b, c, d := rates(); a != up || b != peerUp || c != down || d != peerDown {
			t.Errorf("%s: up %d, each %d, down %d, each %d", what, a, b, c, d)
		}
	}
	want("none", 0, 0, 0, 0)
	one := l.limitRoot(root, Limits{Up: 5000, Down: 7000})
	two := l.limitRoot(root, Limits{Up: 9000, Down: 6000, PeerUp: 3000, PeerDown: 2000})
	want("two", 5000, 3000, 6000, 2000)
	if u, d := l.gates(other, peer.ID("p")); u.limited() || d.limited() {
		t.Error("another root is limited too")
	}
	if l.laneFor(root) != limitedLane || l.laneFor(other) != 0 || l.mostPeers(root, 50) != 2 || l.mostPeers(other, 50) != 50 {
		t.Error("it is fetched as one without a limit")
	}
	held, _ := l.gates(root, peer.ID("p"))
	one()
	want("one", 9000, 3000, 6000, 2000)
	two()
	two() // once more does nothing
	want("lifted", 0, 0, 0, 0)
	if held.limited() {
		t.Error("who holds a bucket still waits")
	}
	if l.rooted.Load() != 0 || l.laneFor(root) != 0 {
		t.Error("something is left")
	}
}

// A conn that serves two roots sends the leaves of each through the limit of that one.
func TestLimitOfEachRoot(t *testing.T) {
	slow, fast := newContent(60, 8, 900), newContent(61, 8, 900)
	seed := newPeer(t, Config{}, slow, fast)
	defer seed.LimitRoot(slow.root, Limits{Up: 1})()
	p := subscribed(t, seed, slow)
	p.send(wire.Want{Handle: 2, Root: fast.root})
	if _, ok := until[wire.HaveAll](p); !ok {
		t.Fatal("no have-map")
	}
	reading, both := make(chan struct{}), make(chan struct{})
	slow.onRead = func(int) {
		close(reading)
		<-both
	}
	ask(p, 0, 1)
	<-reading
	p.send(wire.Request{Handle: 2, Runs: []wire.Run{{First: 0, Count: 1}}})
	seed.mu.Lock()
	v := &seed.conns[p.s.Conn().LocalPeer()][0].srv
	seed.mu.Unlock()
	for waits := false; !waits; runtime.Gosched() {
		v.mu.Lock()
		waits = len(v.ring) > 0 // the other one
		v.mu.Unlock()
	}
	close(both)
	wantData(t, p, 0)
	wantData(t, p, 0)
	seed.limits.mu.Lock()
	up := seed.limits.roots[slow.root].up
	seed.limits.mu.Unlock()
	if up.owes() < time.Minute {
		t.Errorf("900 bytes at a byte a second are over in %v", up.owes())
	}
}
