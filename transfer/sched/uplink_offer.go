package sched

import (
	"cmp"
	"slices"
	"time"
)

// This file makes the offers of an Uplink, and takes their answers.

const (
	// Offers are made ahead of their turns by so much more than replies take, and
	// given up after so long.
	offerMargin  = 20 * time.Millisecond
	offerWait    = 3 * time.Second
	longestSpurn = time.Minute
	firstReply   = 50 * time.Millisecond
)

// Interest says whether a conn that is choked would take an offer, how many leaves
// are on their way to its peer, and whether that answers an offer.
func (u *Uplink) Interest(now time.Time, id ConnID, wants bool, load int, declines bool) []Grant {
	c := u.conns[id]
	if c == nil {
		return nil
	}
	if declines && !c.offered.IsZero() {
		u.answered(now, c)
		c.spurn(now, u.reply)
	}
	c.wants, c.load = wants, load
	if wants {
		c.peer.asked = now
	}
	return u.next(now)
}

// spurn lets a conn wait that did not take an offer, for so long and each time twice as long: others are to get theirs.
func (c *upConn) spurn(now time.Time, d time.Duration) {
	c.notYet = now.Add(min(d<<min(c.spurned, 16), longestSpurn))
	c.spurned++
}

// answered ends an offer, and measures how long that took.
func (u *Uplink) answered(now time.Time, c *upConn) {
	if c.offered.IsZero() {
		return
	}
	u.reply += (min(now.Sub(c.offered), offerWait) - u.reply) / 4
	c.offered = time.Time{}
}

// offer makes offers for the turns to come, as Grants.
func (u *Uplink) offer(now time.Time, limit int) {
	for soon := u.reply + u.reply/2 + offerMargin; u.turns && u.ahead(now, limit) <= soon; {
		best := u.pick(u.wanting(now, soon))
		if best == nil {
			break
		}
		best.offered = now
		u.out = append(u.out, Grant{best.id, true})
	}
}

// wanting returns the conns that may be made an offer: those that would take one and whose own turn, if it is under way, is over
// soon. One that is slow would else take up the turns to come while it cannot begin another.
func (u *Uplink) wanting(now time.Time, soon time.Duration) []*upConn {
	u.list = u.list[:0]
	for _, c := range u.conns {
		if c.wants && c.offered.IsZero() && !now.Before(c.notYet) && !c.waiting && !c.more && (!c.turn || u.lasts(c) <= soon) {
			u.list = append(u.list, c)
		}
	}
	slices.SortFunc(u.list, func(a, b *upConn) int { return cmp.Compare(a.id, b.id) })
	return u.list
}

// lasts estimates how long a turn that is under way lasts.
func (u *Uplink) lasts(c *upConn) time.Duration {
	rate := c.rate.rate()
	if rate == 0 {
		rate = u.climb.top / float64(max(u.busy, 1))
	}
	if rate == 0 {
		return time.Hour
	}
	left := max(0, TurnBytes-float64(c.sent-c.begun)) + float64(c.unacked())
	return time.Duration(left / rate * float64(time.Second))
}

// ahead estimates when the next turn can begin that nobody has been offered yet. A conn that is at its turn and asks for another
// one has its place; one that is long in answering an offer holds none.
func (u *Uplink) ahead(now time.Time, limit int) time.Duration {
	due := len(u.wait) - max(0, limit-u.busy) // turns before that one
	first := time.Hour                        // the first of those under way ends
	for _, c := range u.conns {
		again := c.more || !c.offered.IsZero() && now.Sub(c.offered) < 2*u.reply+offerMargin
		switch {
		case !c.turn && again:
			due++
		case c.counts && !again:
			first = min(first, u.lasts(c))
		}
	}
	if due < 0 {
		return 0
	}
	if u.climb.top == 0 {
		return time.Hour
	}
	return first + time.Duration(float64(due)*TurnBytes/u.climb.top*float64(time.Second))
}
