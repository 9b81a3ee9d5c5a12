package transfer

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"shoal/transfer/wire"
)

const (
	laneRate  = 150 << 20        // bytes/s of one connection that make more of them worthwhile
	laneStall = 3 * time.Second  // a connection that owes and is silent while others move
	laneRetry = 30 * time.Second // after one failed
	laneAgain = time.Second      // while others use all there may be
	laneRun   = 1 << 20          // bytes of neighbouring leaves asked for on one connection
)

// This file spreads what the scheduler asks of a peer over several connections to it.
// The scheduler knows nothing of them. The first subscription tells what the peer has;
// the lanes carry leaves only, and what fails on one is asked for on the others.

// lanes is what a source knows of its further connections.
type lanes struct {
	dialing []int     // their numbers
	next    time.Time // none is tried before
	came    int64     // bytes since
	since   time.Time
	fast    bool // one connection has shown its limit
}

// wider is the outcome of opening a lane.
type wider struct {
	p    *source
	lane int
	c    *conn
	err  error
}

// widen opens lanes to peers that are fast enough, while much is missing.
func (s *session) widen(ctx context.Context, now time.Time) {
	if s.stats.missing < s.e.cfg.LaneBytes || s.e.limits.laneFor(s.root) == limitedLane {
		return
	}
	for _, p := range s.peers {
		if !p.answered || !p.lanes.fast && !p.sub.c.loopback || now.Before(p.lanes.next) {
			continue
		}
		for lane := 1; lane <= s.e.cfg.Lanes; lane++ {
			if slices.Contains(p.lanes.dialing, lane) || p.uses(lane) {
				continue
			}
			p.lanes.dialing = append(p.lanes.dialing, lane)
			c := p.sub.c
			s.wg.Go(func() {
				l, err := s.e.connectLane(ctx, c, lane)
				select {
				case s.widened <- wider{p, lane, l, err}:
				case <-s.done: // an open one closes for want of use
				}
			})
		}
	}
}

// uses tells whether the source has a subscription on the lane.
func (p *source) uses(lane int) bool {
	return slices.ContainsFunc(p.subs, func(s *sub) bool { return s.c.lane == lane })
}

// join subscribes on a lane that has been opened.
func (s *session) join(now time.Time, w wider) {
	p := w.p
	p.lanes.dialing = slices.DeleteFunc(p.lanes.dialing, func(lane int) bool { return lane == w.lane })
	if s.peers[p.id] != p {
		return
	}
	var sub *sub
	if w.err == nil {
		sub, w.err = w.c.subscribe(s)
	}
	if w.err != nil {
		p.lanes.next = now.Add(laneRetry)
		if errors.Is(w.err, errNoLane) {
			p.lanes.next = now.Add(laneAgain)
			return
		}
		s.e.log.Debug("cannot open a further connection", "peer", p.id, "err", w.err)
		return
	}
	sub.moved = now
	p.subs = append(p.subs, sub)
	s.e.log.Debug("opened a further connection", "peer", p.id, "lane", w.lane)
	w.c.send(wire.Want{Handle: sub.handle, Flags: s.wantFlags() &^ wire.WantPeers, Root: s.root})
}

// narrow leaves a lane and asks for what it owes on the other connections.
func (s *session) narrow(now time.Time, p *source, lane *sub) {
	s.e.log.Debug("left a further connection", "peer", p.id, "lane", lane.c.lane)
	p.subs = slices.DeleteFunc(p.subs, func(o *sub) bool { return o == lane })
	p.lanes.next = now.Add(laneRetry)
	leaves := lane.left()
	if leaf, ok := lane.comes(); ok { // it may not be whole
		leaves = append(leaves, leaf)
	}
	lane.c.unsubscribe(lane)
	s.askAgain(now, p, leaves)
}

// askAgain asks for leaves that one connection to a peer has lost on the others.
func (s *session) askAgain(now time.Time, p *source, leaves []uint32) {
	if p.choked() {
		s.chokedBy(now, p, leaves)
		return
	}
	slices.Sort(leaves)
	s.leaves = s.leaves[:0]
	for _, leaf := range leaves {
		if !s.has(leaf) {
			s.leaves = append(s.leaves, leaf)
		}
	}
	s.spread(now, p, s.leaves)
}

// choked tells whether no connection takes requests.
func (p *source) choked() bool {
	return !slices.ContainsFunc(p.subs, func(s *sub) bool { return !s.choked })
}

// spread asks for leaves on the connections that owe least.
func (s *session) spread(now time.Time, p *source, leaves []uint32) {
	for len(leaves) > 0 {
		sub := p.least()
		s.expects = s.expects[:0]
		n, sum := 0, int64(0)
		for ; n < len(leaves) && (len(p.subs) == 1 || sum < laneRun); n++ {
			c, size := s.job.Leaf(int(leaves[n]))
			d, _ := digestOf(c) // checked by grow
			x := expect{digest: d, size: int32(size)}
			s.expects = append(s.expects, x)
			sum += x.cost()
		}
		if sub.expect(leaves[:n], s.expects) {
			sub.moved = now
		}
		var runs []wire.Run
		for _, leaf := range leaves[:n] {
			runs = addLeaf(runs, leaf)
		}
		for part := range slices.Chunk(runs, wire.MaxRuns) {
			sub.c.send(wire.Request{Handle: sub.handle, Runs: part})
		}
		if sub == p.offered {
			p.offered = nil
		}
		leaves = leaves[n:]
	}
}

// least is the subscription to ask next.
func (p *source) least() *sub {
	if p.offered != nil {
		return p.offered
	}
	best, least := p.sub, int64(math.MaxInt64)
	for _, sub := range p.subs {
		if len(p.subs) == 1 || sub.choked {
			continue
		}
		if owes := sub.owes(); owes < least {
			best, least = sub, owes
		}
	}
	return best
}

// takeBackAll takes back all requests when the peer has dropped those of one
// subscription and wants no others.
func (p *source) takeBackAll(dropped *sub) {
	for _, sub := range p.subs {
		if sub.takeBack(everything) && sub != dropped {
			sub.c.send(wire.Cancel{Handle: sub.handle, Runs: []wire.Run{everything}})
		}
	}
}

// unawait takes back on the lanes what is gone: a lane is not told of a leaf that was
// asked there after it had been told that it is elsewhere.
func (p *source) unawait(runs []wire.Run) {
	for _, lane := range p.subs {
		for _, r := range runs {
			if lane != p.sub {
				lane.takeBack(r)
			}
		}
	}
}

// minLanes measures how fast sources are, and leaves connections that are stuck: the
// scheduler sees but a peer that moves.
func (s *session) minLanes(now time.Time) {
	for _, p := range s.peers {
		if dt := now.Sub(p.lanes.since); dt >= tickEvery {
			p.lanes.fast = float64(p.lanes.came) >= laneRate*dt.Seconds()
			p.lanes.came, p.lanes.since = 0, now
		}
		switch sub := p.stuck(now); sub {
		case nil:
		case p.sub:
			s.part(now, p, s.cands.retry)
		default:
			s.narrow(now, p, sub)
		}
	}
}

// stuck is a connection that is silent and should not be, while others are well.
func (p *source) stuck(now time.Time) (stuck *sub) {
	well := false
	for _, sub := range p.subs {
		switch {
		case now.Sub(sub.moved) < laneStall || sub.owes() == 0:
			well = true
		default:
			stuck = sub
		}
	}
	if !well || len(p.subs) == 1 {
		return nil
	}
	return stuck
}
