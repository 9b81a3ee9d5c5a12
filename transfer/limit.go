package transfer

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Limits bound what the swap streams carry, in bytes a second; 0 is no limit. What
// counts is all bytes of the streams, headers and control frames too, before
// encryption. Peers on this machine are no exception.
type Limits struct {
	Up, Down         int64 // all peers together
	PeerUp, PeerDown int64 // each peer, over all its streams
}

// SetLimits puts new limits in force, at once, also for transfers under way.
func (e *Engine) SetLimits(l Limits) { e.limits.set(l) }

// limiter has the buckets of an engine.
type limiter struct {
	up, down *bucket

	mu    sync.Mutex
	now   Limits
	peers map[peer.ID]*peerLimit // those with conns
	roots map[cid.Cid]*rootLimit // those with a limit of their own

	rooted atomic.Int32 // how many of these there are
}

// peerLimit is what all conns of one peer share.
type peerLimit struct {
	up, down *bucket
	conns    int
}

func newLimiter(l Limits) *limiter {
	t := &limiter{up: newBucket(0), down: newBucket(0), peers: make(map[peer.ID]*peerLimit), roots: make(map[cid.Cid]*rootLimit)}
	t.set(l)
	return t
}

func (t *limiter) set(l Limits) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = l
	t.up.set(l.Up)
	t.down.set(l.Down)
	for _, p := range t.peers {
		p.up.set(l.PeerUp)
		p.down.set(l.PeerDown)
	}
}

// join gives a conn of a peer the gates that its bytes pass. leave must follow.
func (t *limiter) join(id peer.ID) (up, down gate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[id]
	if p == nil {
		p = &peerLimit{up: newBucket(t.now.PeerUp), down: newBucket(t.now.PeerDown)}
		t.peers[id] = p
	}
	p.conns++
	return gate{p.up, t.up}, gate{p.down, t.down}
}

// leave forgets a peer with its last conn.
func (t *limiter) leave(id peer.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.peers[id]; p.conns > 1 {
		p.conns--
	} else {
		delete(t.peers, id)
	}
}

// worthwhile is the least share of the limit, in bytes a second, that is worth a peer
// more. A muxer opens its window by 128 KiB at a time; who waited longer than
// Config.StallTimeout for that would take us for dead.
const worthwhile = 16 << 10

// mostPeers is how many peers a fetch of root is to use at once, at most most.
func (t *limiter) mostPeers(root cid.Cid, most int) int {
	if limit := lesser(t.down.limit.Load(), t.downOf(root)); limit > 0 {
		return int(min(max(limit/worthwhile, 2), int64(most)))
	}
	return most
}

// gate is what the bytes of a conn pass in one direction: its peer's bucket, then
// everybody's. The zero value is open.
type gate [2]*bucket

// limited tells whether bytes may have to wait.
func (g gate) limited() bool { return g[0].limited() || g[1].limited() }

// piece is how many of n bytes are to pass at a time.
func (g gate) piece(n int) int {
	for _, b := range g {
		if b.limited() {
			n = min(n, b.piece())
		}
	}
	return n
}

// pass waits until n bytes may pass; false if done came first.
func (g gate) pass(n int, done <-chan struct{}) bool {
	for _, b := range g {
		if b.limited() && !b.take(n, done) {
			return false
		}
	}
	return true
}

// count books n bytes that have passed without waiting. Those that wait, wait longer.
func (g gate) count(n int) {
	for _, b := range g {
		if b.limited() {
			b.debit(n)
		}
	}
}

// bucket lets a number of bytes a second pass, one who waits after another. It is a
// token bucket whose balance may go below zero. golang.org/x/time/rate has
// reservations instead, which a later SetLimit does not change: who had reserved at a
// low rate would wait on after it was raised, and a queue that reserved at a high one
// would block everybody when it was lowered.
type bucket struct {
	limit   atomic.Int64  // bytes a second, 0: none
	waiting atomic.Int32  // who is in take
	turn    chan struct{} // held by the first of them

	mu      sync.Mutex
	balance float64 // bytes that may pass at once; below zero: what is owed
	at      time.Time
	changed chan struct{} // closed when the limit changes
}

const (
	// piecesASecond makes the flow smooth: nobody sends more than a twentieth of a
	// second's bytes at once, and many who wait less each, so that all get some.
	piecesASecond = 20
	mostPieces    = 200
	leastPiece    = 1 << 10 // bytes

	// catchUp is how much may be caught up on, in seconds of the limit: timers are late
	// and writers held up where the machine is busy. After a pause it is burst. Both are
	// little in a sum over ten seconds.
	catchUp = 0.4
	burst   = 0.1
	pause   = time.Second
)

func newBucket(limit int64) *bucket {
	b := &bucket{turn: make(chan struct{}, 1), changed: make(chan struct{})}
	b.set(limit)
	return b
}

func (b *bucket) limited() bool { return b != nil && b.limit.Load() > 0 }

// set changes the limit and wakes who waits. What is owed at an old, higher limit is
// not made to last.
func (b *bucket) set(limit int64) {
	limit = max(limit, 0)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit.Load() == limit {
		return
	}
	b.refill()
	b.limit.Store(limit)
	b.balance = min(max(b.balance, -float64(limit)/piecesASecond), 0)
	close(b.changed)
	b.changed = make(chan struct{})
}

// refill brings the balance up to date. mu is held.
func (b *bucket) refill() {
	now := time.Now()
	since, limit, most := now.Sub(b.at), float64(b.limit.Load()), catchUp
	if since >= pause {
		most = burst
	}
	b.balance = min(b.balance+since.Seconds()*limit, limit*most)
	b.at = now
}

// piece is how many bytes to take at once, for who finds the bucket limited.
func (b *bucket) piece() int {
	limit := b.limit.Load()
	n := max(limit/piecesASecond/int64(1+b.waiting.Load()), limit/mostPieces, leastPiece)
	return int(min(n, 1<<30))
}

func (b *bucket) debit(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill()
	b.balance -= float64(n)
}

// take waits until nothing is owed, then takes n; false if done came first.
func (b *bucket) take(n int, done <-chan struct{}) bool {
	b.waiting.Add(1)
	defer b.waiting.Add(-1)
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-done:
		return false
	}
	for {
		wait, changed := b.try(n)
		if wait == 0 {
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-done:
		}
		timer.Stop()
		select {
		case <-done:
			return false
		default:
		}
	}
}

// try takes n if nothing is owed, else it tells how long it takes until then, and
// what to listen to.
func (b *bucket) try(n int) (wait time.Duration, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	limit := b.limit.Load()
	if limit == 0 {
		return 0, nil
	}
	b.refill()
	if b.balance >= 0 {
		b.balance -= float64(n)
		return 0, nil
	}
	return max(time.Duration(-b.balance/float64(limit)*float64(time.Second)), time.Microsecond), b.changed
}
