package transfer

import (
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// This file limits what is swapped of one root, beside what the engine's limits allow.

// limitedLane is the connection of fetches with a limit: a stream of their own, so that
// what waits there holds up nothing else that comes from the same peer.
const limitedLane = -1

// LimitRoot limits what is sent and received of a root, payload alone, until lift is
// called. Where several limit it, the least counts, and the engine's own limits hold too.
func (e *Engine) LimitRoot(root cid.Cid, l Limits) (lift func()) { return e.limits.limitRoot(root, l) }

// rootLimit is what limits one root. The fields are guarded by limiter.mu.
type rootLimit struct {
	by       map[*Limits]struct{}
	now      Limits
	up, down *bucket
	peers    map[peer.ID]*peerLimit
}

func (t *limiter) limitRoot(root cid.Cid, l Limits) (lift func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l == (Limits{}) {
		return func() {}
	}
	r := t.roots[root]
	if r == nil {
		r = &rootLimit{by: map[*Limits]struct{}{}, up: newBucket(0), down: newBucket(0), peers: map[peer.ID]*peerLimit{}}
		t.roots[root] = r
	}
	key := &l
	r.by[key] = struct{}{}
	r.settle()
	t.rooted.Store(int32(len(t.roots)))
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(r.by, key)
		r.settle() // who holds its buckets waits no longer
		if len(r.by) == 0 && t.roots[root] == r {
			delete(t.roots, root)
		}
		t.rooted.Store(int32(len(t.roots)))
	}
}

// settle puts the least of all in force.
func (r *rootLimit) settle() {
	r.now = Limits{}
	for l := range r.by {
		r.now.Up, r.now.Down = lesser(r.now.Up, l.Up), lesser(r.now.Down, l.Down)
		r.now.PeerUp, r.now.PeerDown = lesser(r.now.PeerUp, l.PeerUp), lesser(r.now.PeerDown, l.PeerDown)
	}
	r.up.set(r.now.Up)
	r.down.set(r.now.Down)
	for _, p := range r.peers {
		p.up.set(r.now.PeerUp)
		p.down.set(r.now.PeerDown)
	}
}

// lesser is the stricter of two limits; 0 is none.
func lesser(a, b int64) int64 {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

// maxRootPeers bounds the peers whose share of a root's limit is remembered.
const maxRootPeers = 1024

// gates are what a root's payload passes on its way to a peer and from it; zero without a limit.
func (t *limiter) gates(root cid.Cid, id peer.ID) (up, down gate) {
	if t.rooted.Load() == 0 {
		return up, down
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.roots[root]
	if r == nil {
		return up, down
	}
	if r.now.PeerUp == 0 && r.now.PeerDown == 0 {
		return gate{nil, r.up}, gate{nil, r.down}
	}
	p := r.peers[id]
	if p == nil {
		if len(r.peers) >= maxRootPeers {
			clear(r.peers)
		}
		p = &peerLimit{up: newBucket(r.now.PeerUp), down: newBucket(r.now.PeerDown)}
		r.peers[id] = p
	}
	return gate{p.up, r.up}, gate{p.down, r.down}
}

// laneFor is the connection that a fetch of root uses.
func (t *limiter) laneFor(root cid.Cid) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.roots[root]; r != nil && (r.now.Down > 0 || r.now.PeerDown > 0) {
		return limitedLane
	}
	return 0
}

// downOf is the limit of what is received of a root, 0 for none.
func (t *limiter) downOf(root cid.Cid) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.roots[root]; r != nil {
		return r.now.Down
	}
	return 0
}

// owing is how long bytes would have to wait before they pass.
func (g gate) owing() (wait time.Duration) {
	for _, b := range g {
		if b.limited() {
			wait = max(wait, b.owes())
		}
	}
	return wait
}

// owes is how long it takes until nothing is owed.
func (b *bucket) owes() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	limit := b.limit.Load()
	if b.refill(); b.balance >= 0 || limit == 0 {
		return 0
	}
	return max(time.Duration(-b.balance/float64(limit)*float64(time.Second)), time.Microsecond)
}

// write sends leaves of sv, no faster than the limit of its root. What else the conn has to
// say is not held up: then these leaves are sent at once, and the next ones wait longer.
func (v *server) write(sv *serve, b []byte) error {
	up, _ := v.c.e.limits.gates(sv.root, v.c.peer)
	if !up.limited() {
		return v.c.write(b)
	}
	for len(b) > 0 {
		n := up.piece(len(b))
		switch {
		case v.othersWait(sv):
			n = len(b)
			up.count(n)
		case !up.pass(n, v.c.done):
			return network.ErrReset // the conn has its own reason
		}
		if err := v.c.write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// othersWait tells whether there is anything to send but leaves of sv.
func (v *server) othersWait(sv *serve) bool {
	if v.c.out.pending() {
		return true
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.ring) > 1 || len(v.ring) == 1 && v.ring[0] != sv ||
		len(v.fresh)+len(v.dead)+len(v.nodes)+len(v.blocks) > 0
}

// pending tells whether control frames wait.
func (o *outbox) pending() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.frames) > 0
}

// lookAgain is how long a limit that may have been lifted is waited for.
const lookAgain = 250 * time.Millisecond

// withinLimits brings a subscription to the front whose root is within its limit. Without one it
// has the writer woken later: false.
func (v *server) withinLimits() bool {
	if v.c.e.limits.rooted.Load() == 0 {
		return true
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	least := lookAgain
	for i, sv := range v.ring {
		up, _ := v.c.e.limits.gates(sv.root, v.c.peer)
		wait := up.owing()
		if wait == 0 {
			v.ring = append(v.ring[i:len(v.ring):len(v.ring)], v.ring[:i]...)
			return true
		}
		least = min(least, wait)
	}
	if now := time.Now(); len(v.ring) > 0 && !now.Before(v.wakes) {
		v.wakes = now.Add(least)
		time.AfterFunc(least, v.c.out.wake)
	}
	return len(v.ring) == 0
}
