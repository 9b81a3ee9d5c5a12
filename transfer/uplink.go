package transfer

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/transfer/sched"
	"shoal/transfer/wire"
)

const (
	gotEvery   = 32 << 10               // payload bytes between Got messages, when they are asked for
	leastEvery = 16 << 10               // and at least, whatever a peer asks
	paceWait   = 300 * time.Millisecond // for the first Got
	uplinkTick = 100 * time.Millisecond // how soon a turn that stands still is noticed
)

// uplink gives the conns' writers their turns. It is sched.Uplink with a lock.
type uplink struct {
	mu    sync.Mutex
	sched *sched.Uplink
	conns map[sched.ConnID]*conn
	last  sched.ConnID
	slow  bool          // run ticks slowly
	begun chan struct{} // tells it to tick faster

	choking atomic.Bool // subscriptions are choked, and made offers
}

// turns is a conn's part of the uplink.
type turns struct {
	id sched.ConnID

	queued atomic.Bool // a turn has been asked for, or is ours

	// under uplink.mu
	mine  bool // it is our turn
	paced bool // Got messages have been asked for
	asked time.Time
	rtt   time.Duration

	// the writer's
	bytes int // sent in this turn
}

func (u *uplink) init() {
	u.sched = sched.NewUplink(rand.Uint64())
	u.conns = make(map[sched.ConnID]*conn)
	u.begun = make(chan struct{}, 1)
}

func (u *uplink) add(c *conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last++
	c.turns.id = u.last
	u.conns[u.last] = c
	u.sched.Add(u.last, c.peer)
}

func (u *uplink) remove(c *conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.conns, c.turns.id)
	u.grant(u.sched.Remove(time.Now(), c.turns.id, c.peer))
}

// grant tells conns that it is their turn, or makes them an offer. mu is held.
func (u *uplink) grant(grants []sched.Grant) {
	for queue := slices.Clone(grants); len(queue) > 0; queue = queue[1:] {
		g := queue[0]
		c := u.conns[g.Conn]
		switch {
		case c == nil:
		case !g.Offer:
			c.turns.mine = true
			c.out.wake()
		case !c.srv.offer():
			queue = append(queue, u.sched.Interest(time.Now(), g.Conn, false, 0, true)...)
		}
	}
}

// interest takes up what a conn's peer says of all that it has subscribed to.
func (u *uplink) interest(c *conn, wants bool, load int, declines bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.grant(u.sched.Interest(time.Now(), c.turns.id, wants, load, declines))
	u.pace(time.Now(), c)
}

// asked says that leaves have been requested of a conn.
func (u *uplink) asked(c *conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ask(time.Now(), c)
	u.pace(time.Now(), c)
}

// ask lets a conn wait for a turn. mu is held.
func (u *uplink) ask(now time.Time, c *conn) {
	c.turns.queued.Store(true)
	u.grant(u.sched.Ask(now, c.turns.id))
}

// begin reports whether it is the conn's turn to send leaves, or else lets it wait
// for one: its writer is woken. In a crowd it waits a little for the peer to tell what has
// got through: without that, all of a leaf would go into buffers at once, ahead of what is
// said, and of other leaves.
func (u *uplink) begin(c *conn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if !c.turns.mine {
		u.ask(now, c)
		u.hurry()
	}
	u.pace(now, c)
	if _, told := u.sched.Room(now, c.turns.id); c.turns.paced && !told && now.Sub(c.turns.asked) < paceWait {
		return false
	}
	return c.turns.mine
}

// hurry makes the clock tick for turns. mu is held.
func (u *uplink) hurry() {
	if !u.slow {
		return
	}
	u.slow = false
	select {
	case u.begun <- struct{}{}:
	default: // it has been told
	}
}

// pace asks the peer to tell what has got through while that matters. mu is held.
func (u *uplink) pace(now time.Time, c *conn) {
	switch crowd := u.sched.Crowd(now); {
	case crowd && !c.turns.paced:
		c.turns.paced, c.turns.asked = true, now
		c.send(wire.Pace{Every: gotEvery})
	case !crowd && c.turns.paced:
		c.turns.paced, c.turns.rtt = false, 0
		u.sched.Untrack(c.turns.id)
		c.send(wire.Pace{})
	}
}

// sent counts payload that the writer is about to send in its turn.
func (u *uplink) sent(c *conn, bytes int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sched.Sent(time.Now(), c.turns.id, bytes)
	c.turns.bytes += bytes
}

// over ends the conn's turn when that was enough, or when no more is asked for.
func (u *uplink) over(c *conn, more bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if c.turns.bytes >= sched.TurnBytes || !more {
		c.turns.bytes, c.turns.mine = 0, false
		u.grant(u.sched.Whole(time.Now(), c.turns.id, more))
	}
}

// paced tells whether the peer says what has got through.
func (u *uplink) paced(c *conn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, known := u.sched.Room(time.Now(), c.turns.id)
	return known
}

// room is how many bytes the conn may send now. Its writer is woken when that grows.
func (u *uplink) room(c *conn) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	room, known := u.sched.Room(time.Now(), c.turns.id)
	if !known {
		return sendBytes
	}
	if room <= 0 {
		return 0
	}
	return int(max(room, leastEvery))
}

// idle ends a turn, or the wait for one, of a conn that has nothing to send.
func (u *uplink) idle(c *conn) {
	if !c.turns.queued.Load() {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	c.turns.queued.Store(false)
	if c.turns.mine {
		c.turns.bytes, c.turns.mine = 0, false
		u.grant(u.sched.Whole(now, c.turns.id, false))
	}
	u.grant(u.sched.Unask(now, c.turns.id))
}

// got takes up what a peer says has got through.
func (u *uplink) got(c *conn, m wire.Got) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !c.turns.paced {
		return // it crossed with our asking for no more
	}
	now := time.Now()
	if c.turns.rtt == 0 {
		c.turns.rtt = max(now.Sub(c.turns.asked), 1)
	}
	c.out.wake()
	u.grant(u.sched.Got(now, c.turns.id, m.Total, c.turns.rtt))
}

// received counts what a peer has given us.
func (u *uplink) received(c *conn, bytes int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sched.Received(time.Now(), c.peer, bytes)
}

// quiet reports whether no turn is under way, and how long one takes.
func (u *uplink) quiet() (quiet bool, turn time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sched.Busy() == 0, u.sched.TurnTime()
}

// idleTick is how often an uplink is looked at that has nothing to do.
const idleTick = 2 * time.Second

// run lets time pass for the turns; slowly while there are none, so that an idle daemon sleeps.
func (u *uplink) run(ctx context.Context, done <-chan struct{}) {
	tick := time.NewTicker(uplinkTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-done:
			return
		case <-u.begun:
			tick.Reset(uplinkTick)
		case now := <-tick.C:
			u.mu.Lock()
			u.tick(now)
			if u.slow = u.sched.Busy() == 0 && !u.sched.Turns(); u.slow {
				tick.Reset(idleTick)
			} else {
				tick.Reset(uplinkTick)
			}
			u.mu.Unlock()
		}
	}
}

// tick lets time pass. mu is held.
func (u *uplink) tick(now time.Time) {
	u.grant(u.sched.Tick(now))
	u.choking.Store(u.sched.Turns())
	for _, c := range u.conns {
		c.srv.choke(u.sched.Turns())
		if c.turns.mine {
			c.out.wake() // if its peer tells no more
		}
	}
}
