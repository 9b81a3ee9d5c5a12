package transfer

import (
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
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
