package transfer

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/transfer/sched"
	"shoal/transfer/wire"
)

// This file deals the leaves of a root that is whole here out to those who want it:
// see sched.Spread, and "A crowd" in package wire. Everything here is called with
// swarms.mu not held, unless it says so.

const (
	dealIdle = 20 * time.Millisecond // nobody asked for anything so long, or for as long as a turn takes: a round is over
	dealLong = 10 * time.Second      // and so long, though something is still being sent
	dealWait = 2 * time.Second       // a member that finds nothing to ask for so long may take anything
)

// dealing is the part of a swarm that deals.
type dealing struct {
	spread  sched.Spread
	members map[peer.ID]*dealMember
	news    []dealt   // not told yet
	last    time.Time // a leaf was given, or asked for in vain
}

// dealMember is a peer in the swarm, whatever the number of its subscriptions.
type dealMember struct {
	id    sched.Member
	subs  int
	asked time.Time // it last had requests waiting
}

// dealt is leaves given to a member.
type dealt struct {
	to   sched.Member
	runs []wire.Run
}

// deal makes a subscription to a root that is whole here a member of the deal, and
// tells it what others have been given: at once, for were the next round's offer to
// overtake that, nothing would ever take it back. The writer, which calls it, sends
// what it writes itself before that.
func (w *swarms) deal(sv *serve) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.roots[sv.root]
	if s == nil || s.members[sv] == nil || s.deal.spread.Full() {
		return
	}
	d := &s.deal
	if d.members == nil {
		d.members = make(map[peer.ID]*dealMember)
	}
	m := d.members[sv.c.peer]
	if m == nil {
		m = &dealMember{id: d.spread.Join(), asked: time.Now()}
		d.members[sv.c.peer] = m
	}
	m.subs++
	s.members[sv].deal = m
	given := wireRuns(d.spread.Given(m.id))
	if len(given) > 0 {
		sendGone(sv, given)
		w.wake() // the round may be over
	}
}

// undeal takes a subscription out of the deal. mu is held.
func (w *swarms) undeal(s *swarm, sv *serve) {
	d, m := &s.deal, s.members[sv].deal
	if m == nil {
		return
	}
	s.members[sv].deal = nil
	if m.subs--; m.subs > 0 {
		return
	}
	delete(d.members, sv.c.peer)
	back := wireRuns(d.spread.Leave(m.id))
	if len(back) == 0 {
		return
	}
	w.tellDealt(s)
	for o, om := range s.members {
		if om.deal != nil {
			sendRuns(back, func(runs []wire.Run) wire.Message { return wire.HaveRuns{Handle: o.handle, Runs: runs} }, o.c)
		}
	}
}

// give reports whether to send a leaf to a subscriber that has asked for it.
func (w *swarms) give(sv *serve, leaf uint32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.roots[sv.root]
	if s == nil || s.members[sv] == nil || s.members[sv].deal == nil {
		return true
	}
	d, m := &s.deal, s.members[sv].deal
	d.last = time.Now()
	m.asked = d.last
	give, news := d.spread.Take(m.id, sched.Leaf(leaf))
	if news && d.spread.Crowd() {
		if n := len(d.news); n > 0 && d.news[n-1].to == m.id {
			d.news[n-1].runs = addLeaf(d.news[n-1].runs, leaf)
		} else {
			d.news = append(d.news, dealt{m.id, []wire.Run{{First: leaf, Count: 1}}})
		}
	}
	if !give {
		w.tellDealt(s) // it has not heard yet
	}
	w.wake()
	return give
}

// tellDealt tells the members what the others were given. mu is held.
func (w *swarms) tellDealt(s *swarm) {
	d := &s.deal
	if len(d.news) == 0 {
		return
	}
	for sv, m := range s.members {
		if m.deal == nil || !d.spread.Withheld(m.deal.id) {
			continue
		}
		var runs []wire.Run
		for _, n := range d.news {
			if n.to != m.deal.id {
				runs = append(runs, n.runs...)
			}
		}
		sendGone(sv, runs)
	}
	d.news = nil
}

func sendGone(sv *serve, runs []wire.Run) {
	sendRuns(runs, func(runs []wire.Run) wire.Message {
		return wire.Gone{Handle: sv.handle, Code: wire.CodeElsewhere, Runs: runs}
	}, sv.c)
}

func sendRuns(runs []wire.Run, message func([]wire.Run) wire.Message, c *conn) {
	for part := range slices.Chunk(runs, wire.MaxRuns) {
		c.send(message(part))
	}
}

// redeal offers everything again where a round is over: nobody asks any more, for
// nothing is left or because nothing of what is left is of use to them. It returns
// when to look again, 0 for not before something is given. mu is held.
func (w *swarms) redeal(s *swarm, now time.Time) time.Duration {
	d := &s.deal
	if len(d.members) < 2 {
		return 0
	}
	hungry := false
	for sv, m := range s.members {
		if m.deal != nil && sv.hungry.Load() {
			hungry = true
			m.deal.asked = now
		}
	}
	quiet, turn := w.e.uplink.quiet()
	idle := now.Sub(d.last)
	if hungry || idle < max(dealIdle, turn) || idle < dealLong && !quiet {
		w.exempt(s, now)
		return dealIdle
	}
	if !d.spread.NextRound() {
		return 0
	}
	d.news = nil
	for sv, m := range s.members {
		if m.deal != nil {
			sv.c.send(wire.HaveAll{Handle: sv.handle})
		}
	}
	return dealIdle
}

// exempt lets members that have found nothing to ask for all this while, though
// others have, ask for anything. mu is held.
func (w *swarms) exempt(s *swarm, now time.Time) {
	d := &s.deal
	var freed []*dealMember
	for _, m := range d.members {
		if d.spread.Withheld(m.id) && now.Sub(m.asked) >= dealWait {
			d.spread.Exempt(m.id)
			freed = append(freed, m)
		}
	}
	for sv, m := range s.members {
		if m.deal != nil && slices.Contains(freed, m.deal) {
			sv.c.send(wire.HaveAll{Handle: sv.handle})
		}
	}
}

func wireRuns(runs []sched.Run) []wire.Run {
	out := make([]wire.Run, len(runs))
	for i, r := range runs {
		out[i] = wire.Run{First: uint32(r.First), Count: r.Count}
	}
	return out
}
