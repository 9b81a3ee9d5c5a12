package sched

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Uplink decides whose leaf is sent next. Conns that have something to send ask
// for a turn; a turn is one leaf (or small ones of about as much), sent whole
// before the next turn begins, because a leaf that is whole can be passed on
// while eighths of eight leaves cannot.
//
// A few turns run at once, as many as make the uplink faster: their number is
// tried out (climb.go). A turn ends when nearly all of its leaf has been
// acknowledged, so that what the buffers below hold does not hide how far it is.
//
// Where the uplink is slow and several peers ask, they are choked (Turns), and the one
// whose turn comes next is made an offer: it decides then what to ask for. So that it
// has decided when the turn begins, offers are made ahead, by as long as answers take.
// They go to those that wait for few leaves, so that many uplinks do not choose the
// same downlink.
//
// Between peers, not conns, bytes are shared fairly: the one that has been served
// least goes first. A peer that gives back counts for more, one that comes anew
// starts level with the others, and one that lets its turn stand still does not
// keep others from theirs.
//
// It is a pure state machine like State, and belongs to whoever locks it.
type Uplink struct {
	peers map[peer.ID]*upPeer
	conns map[ConnID]*upConn
	wait  []*upConn // asking, in the order they asked
	busy  int       // turns under way that count
	floor float64   // virtual time: what a new peer starts with
	climb climb
	turns bool          // conns are choked
	more  int           // turns under way beyond those of climb, to fill the uplink
	tuned time.Time     // when it was looked whether that is right
	reply time.Duration // how long an offer takes to be answered
	rng   *rand.Rand
	out   []Grant
	list  []*upConn // scratch
}

// Grant says that a conn may begin a turn, or that it is to be made an offer.
type Grant struct {
	Conn  ConnID
	Offer bool
}

// ConnID names a conn.
type ConnID uint64

// upPeer is what is known of a peer, over all of its conns.
type upPeer struct {
	conns  int
	served float64   // virtual time: bytes sent, less where it gives back
	given  float64   // bytes it has sent us lately
	at     time.Time // up to when given has faded
	asked  time.Time // it had something to ask for
}

// upConn is one conn: idle, waiting or at its turn.
type upConn struct {
	id      ConnID
	peer    *upPeer
	waiting bool
	wants   bool      // would take an offer
	load    int       // leaves on their way to it, as far as known
	offered time.Time // an offer was made and not answered, else zero
	spurned int       // offers in a row that were declined or not answered
	notYet  time.Time // no offer before
	turn    bool      // a leaf is being sent
	begun   uint64    // sent when the turn began
	more    bool      // there is something to send after the turn
	counts  bool      // the turn counts as one of those under way
	whole   bool      // all of the leaf has been handed over
	sent    uint64    // bytes handed over
	got     uint64    // of these, acknowledged
	tracked bool      // got is known
	moved   time.Time // the turn began, or the last acknowledgement came
	fed     time.Time // bytes were handed over
	rate    meter     // of acknowledged bytes, while some are under way
	rtt     time.Duration
	probe   uint64    // bytes sent by
	probed  time.Time // then, which got through when got reaches them
}

const (
	// TurnBytes is about how much is sent in one turn: a leaf, or small ones.
	TurnBytes = 1 << 20

	// A turn is over when so many bytes, or what the path holds, are left to be
	// acknowledged: the next leaf is under way before the wire falls dry.
	turnTail = 64 << 10

	// A conn may have so much handed over and not acknowledged: what its rate makes of
	// two round trips and so much time, or at least so many bytes.
	unackedTime  = 20 * time.Millisecond
	leastUnacked = 96 << 10
	muteAfter    = time.Second

	// stuckAfter is how long a turn may stand still and count.
	stuckAfter = 500 * time.Millisecond

	// A peer that gives back counts for up to so many others.
	mostFavour = 3.0

	// headStart bounds how far behind the others a peer may be: time it did not
	// use is not saved up.
	headStart = 4 << 20

	givenMemory = 20 * time.Second

	// slowUplink is the rate, in bytes a second, below which it matters who is next.
	slowUplink = 64 << 20

	// crowdFor is how long a peer counts as one that asks.
	crowdFor = time.Second
)

// NewUplink returns an Uplink without conns; the seed is of its random ties.
func NewUplink(seed uint64) *Uplink {
	u := &Uplink{rng: rand.New(rand.NewPCG(seed, 0x75706c696e6b)), peers: make(map[peer.ID]*upPeer), conns: make(map[ConnID]*upConn)}
	u.climb.restart(leastTurns)
	u.reply = firstReply
	return u
}

// Add makes a conn known.
func (u *Uplink) Add(id ConnID, p peer.ID) {
	up := u.peers[p]
	if up == nil {
		up = &upPeer{served: u.floor}
		u.peers[p] = up
	}
	up.conns++
	u.conns[id] = &upConn{id: id, peer: up}
}

// Remove forgets a conn. The conns returned may begin a turn.
func (u *Uplink) Remove(now time.Time, id ConnID, p peer.ID) []Grant {
	c := u.conns[id]
	if c == nil {
		return nil
	}
	delete(u.conns, id)
	u.unwait(c)
	u.end(c)
	if c.peer.conns--; c.peer.conns == 0 {
		delete(u.peers, p)
	}
	return u.next(now)
}

// Ask puts a conn in the queue for a turn; asking twice is harmless. The conns
// returned may begin one.
func (u *Uplink) Ask(now time.Time, id ConnID) []Grant {
	if c := u.conns[id]; c != nil {
		u.answered(now, c)
		c.spurned, c.notYet = 0, time.Time{}
		if c.turn && !c.whole {
			c.more = true // once this turn is over
		} else {
			u.queue(now, c)
		}
	}
	return u.next(now)
}

func (u *Uplink) queue(now time.Time, c *upConn) {
	if c.waiting {
		return
	}
	c.waiting, c.more = true, false
	u.wait = append(u.wait, c)
	c.peer.asked = now
	c.peer.served = max(c.peer.served, u.floor-headStart)
}

// Unask takes a conn out of the queue: it has nothing to send after all.
func (u *Uplink) Unask(now time.Time, id ConnID) []Grant {
	if c := u.conns[id]; c != nil {
		u.unwait(c)
	}
	return u.next(now)
}

// Sent says that a conn at its turn has handed over so many bytes of it.
func (u *Uplink) Sent(now time.Time, id ConnID, bytes int) {
	c := u.conns[id]
	if c == nil {
		return
	}
	if c.unacked() == 0 {
		c.rate.mark = now
	}
	c.sent += uint64(bytes)
	c.fed = now
	if c.probe == 0 {
		c.probe, c.probed = c.sent, now
	}
	c.peer.served += float64(bytes) / c.peer.favour(now)
}

// Whole says that the conn has handed over all of its leaf, and whether it asks for
// another turn.
func (u *Uplink) Whole(now time.Time, id ConnID, more bool) []Grant {
	if c := u.conns[id]; c != nil && c.turn {
		c.whole = true
		if more {
			u.queue(now, c)
		}
		u.settle(c)
	}
	return u.next(now)
}

// Got says how many bytes in all the peer has of what the conn has sent since it
// was added, and how long a round trip took when it was asked to tell. Until the first Got,
// and after Untrack, a turn is over when it is whole.
func (u *Uplink) Got(now time.Time, id ConnID, total uint64, rtt time.Duration) []Grant {
	c := u.conns[id]
	if c == nil {
		return nil
	}
	total = min(max(total, c.got), c.sent)
	n := int64(total - c.got)
	if !c.tracked {
		c.tracked, n = true, 0
		c.rate = meter{mark: now}
	}
	c.got = total
	if c.rtt == 0 {
		c.rtt = rtt
	}
	if c.probe > 0 && c.got >= c.probe {
		c.sampleRTT(now.Sub(c.probed))
		c.probe = 0
	}
	if n > 0 {
		c.moved = now
		c.rate.add(now, n)
		u.climb.acked(now, n)
		if c.turn && !c.counts { // it had stood still
			c.counts = true
			u.busy++
		}
	}
	u.settle(c)
	return u.next(now)
}

// sampleRTT follows shorter round trips at once, and longer ones slowly: they are what
// we have made wait ourselves.
func (c *upConn) sampleRTT(d time.Duration) {
	if d < c.rtt {
		c.rtt = d
	} else {
		c.rtt += (d - c.rtt) / 256
	}
}

// Untrack says that no Got will come.
func (u *Uplink) Untrack(id ConnID) {
	if c := u.conns[id]; c != nil {
		c.tracked, c.rtt, c.probe = false, 0, 0
	}
}

// Crowd reports whether several peers have asked for something lately, so that
// turns matter and Got is wanted.
func (u *Uplink) Crowd(now time.Time) bool { return u.asking(now) > 1 }

// asking counts the peers that have asked for something lately.
func (u *Uplink) asking(now time.Time) int {
	n := 0
	for _, p := range u.peers {
		if now.Sub(p.asked) <= crowdFor {
			n++
		}
	}
	return n
}

// Turns reports whether conns are to be choked and made offers.
func (u *Uplink) Turns() bool { return u.turns }

// limit is how many turns may be under way. Those who are choked get more of them while
// the uplink is not full: the leaf that is sent to one with a slow link takes long.
func (u *Uplink) limit(now time.Time) int {
	want := u.busy + len(u.wait)
	for _, c := range u.conns {
		if c.wants || !c.offered.IsZero() {
			want++
		}
	}
	n := u.climb.turns(now, want)
	if u.climb.top < slowUplink {
		n = min(n, max(1, u.asking(now)-1)) // else conns would share the uplink, and not peers
	}
	if !u.turns || u.climb.fast {
		return n
	}
	n += u.more
	if now.Sub(u.tuned) >= flowMemory {
		u.tuned = now
		switch slack := u.climb.slack(now); {
		case !slack:
			u.more = max(0, u.more-1)
		case u.busy >= n:
			u.more = min(u.more+1, mostTurns)
		}
	}
	return n
}

// Room returns how much more a conn may hand over now; false if nobody tells what has
// got through. What waits in the buffers below delays all that comes after it, cannot
// be taken back, and hides how far it is. A conn whose peer tells no more may go on,
// slowly.
func (u *Uplink) Room(now time.Time, id ConnID) (bytes int64, known bool) {
	c := u.conns[id]
	if c == nil || !c.tracked {
		return 0, false
	}
	room := max(leastUnacked, int64(c.rate.rate()*(2*c.rtt+unackedTime).Seconds())) - c.unacked()
	if room <= 0 && now.Sub(c.moved) >= muteAfter && now.Sub(c.fed) >= muteAfter {
		room = leastUnacked / 4
	}
	return room, true
}

// TurnTime is how long a turn takes that has the uplink to itself, half a second at most.
func (u *Uplink) TurnTime() time.Duration {
	return time.Duration(min(TurnBytes/max(u.climb.top, 1), 0.5) * float64(time.Second))
}

// Busy returns how many turns are under way.
func (u *Uplink) Busy() int { return u.busy }

// unacked is what has been handed over and is not known to have got through.
func (c *upConn) unacked() int64 {
	if !c.tracked {
		return 0
	}
	return int64(c.sent - c.got)
}

// Received says that a peer has sent us so many bytes.
func (u *Uplink) Received(now time.Time, p peer.ID, bytes int) {
	if up := u.peers[p]; up != nil {
		up.fade(now)
		up.given += float64(bytes)
	}
}

// Tick lets time pass: turns that stand still make room, offers that are not answered
// are given up.
func (u *Uplink) Tick(now time.Time) []Grant {
	if turns := u.Crowd(now) && u.climb.top > 0 && u.climb.top < slowUplink; turns != u.turns {
		u.turns, u.more = turns, 0
		if turns {
			u.climb.restart(leastTurns)
		}
	}
	for _, c := range u.conns {
		if !c.offered.IsZero() && now.Sub(c.offered) >= offerWait {
			c.offered, c.wants = time.Time{}, false
			c.spurn(now, offerWait)
		}
		if !u.turns {
			c.wants = false
		}
		if c.wants || c.waiting || c.counts {
			c.peer.asked = now
		}
		if c.counts && now.Sub(c.moved) >= stuckAfter {
			c.counts = false
			u.busy--
		}
	}
	return u.next(now)
}

// settle ends a turn whose leaf is nearly there.
func (u *Uplink) settle(c *upConn) {
	tail := max(turnTail, int64(c.rate.rate()*c.rtt.Seconds()))
	if c.turn && c.whole && c.unacked() <= tail {
		u.end(c)
	}
}

func (u *Uplink) end(c *upConn) {
	if c.counts {
		u.busy--
	}
	c.turn, c.counts, c.whole, c.more = false, false, false, false
}

func (u *Uplink) unwait(c *upConn) {
	if !c.waiting {
		return
	}
	c.waiting = false
	for i, w := range u.wait {
		if w == c {
			u.wait = append(u.wait[:i], u.wait[i+1:]...)
			return
		}
	}
}

// next gives turns to those who have waited and were served least, and makes offers
// for the turns to come. The slice is valid until the next call.
func (u *Uplink) next(now time.Time) []Grant {
	u.out = u.out[:0]
	limit := u.limit(now)
	if u.climb.slack(now) {
		limit++
	}
	for len(u.wait) > 0 && (u.busy < limit || u.asking(now) <= 1) {
		best := u.pick(u.wait)
		u.floor = max(u.floor, best.peer.served)
		u.unwait(best)
		u.begin(now, best)
		u.out = append(u.out, Grant{Conn: best.id})
	}
	u.offer(now, limit)
	return u.out
}

// pick returns, of those that were served least, give or take two turns, one that waits
// for the fewest leaves: any of them, lest all the peers of a crowd send to the same one.
func (u *Uplink) pick(list []*upConn) (best *upConn) {
	least := math.Inf(1)
	for _, c := range list {
		least = min(least, c.peer.served)
	}
	n := 0
	for _, c := range list {
		if c.peer.served > least+2*TurnBytes || best != nil && c.load > best.load {
			continue
		}
		if best != nil && c.load < best.load {
			n = 0
		}
		if n++; u.rng.IntN(n) == 0 {
			best = c
		}
	}
	return best
}

// begin starts a turn; the one before may have bytes under way still.
func (u *Uplink) begin(now time.Time, c *upConn) {
	u.end(c)
	c.turn, c.counts, c.moved, c.begun = true, true, now, c.sent
	u.busy++
}

// favour is for how many peers this one counts.
func (p *upPeer) favour(now time.Time) float64 {
	p.fade(now)
	return 1 + min(p.given/headStart, mostFavour-1)
}

// fade halves what the peer has given as time passes.
func (p *upPeer) fade(now time.Time) {
	if d := now.Sub(p.at); d > time.Second {
		p.given /= 1 + d.Seconds()/givenMemory.Seconds()
		p.at = now
	}
}
