package transfer

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/transfer/sched"
	"shoal/transfer/wire"
)

// This file turns the scheduler's requests and cancels into messages. They are
// gathered while events are handled and sent when the owner has taken all of them.

// enqueue notes a request or a cancel for flush.
func (s *session) enqueue(id peer.ID, o op) {
	p := s.peers[id]
	if p == nil {
		return
	}
	if len(p.ops) == 0 {
		s.asking = append(s.asking, p)
	}
	if n := len(p.ops); n > 0 {
		if last := &p.ops[n-1]; last.cancel == o.cancel && last.run.First+last.run.Count == o.run.First {
			last.run.Count += o.run.Count
			return
		}
	}
	p.ops = append(p.ops, o)
}

// flush sends the gathered requests and cancels and publishes what was verified.
func (s *session) flush() {
	for len(s.asking) > 0 {
		for _, p := range s.asking {
			s.flushSource(p)
		}
		s.asking = s.asking[:0]
		s.settle(time.Now()) // which may ask for more
	}
	if len(s.fresh) > 0 {
		s.e.swarms.publish(s.root, s.fresh)
		s.fresh = s.fresh[:0]
	}
}

// flushSource sends a peer its messages, one for each sequence of the same kind.
func (s *session) flushSource(p *source) {
	for i := 0; i < len(p.ops); {
		j := i
		s.runs = s.runs[:0]
		for ; j < len(p.ops) && p.ops[j].cancel == p.ops[i].cancel && len(s.runs) < wire.MaxRuns; j++ {
			s.runs = append(s.runs, p.ops[j].run)
		}
		if p.ops[i].cancel {
			s.cancel(p, s.runs)
		} else {
			s.request(p, s.runs)
		}
		i = j
	}
	p.ops = p.ops[:0]
	p.unanswered()
}

// request asks for leaves, but for those that are here by now.
func (s *session) request(p *source, runs []wire.Run) {
	s.leaves = s.leaves[:0]
	for _, r := range runs {
		for leaf := r.First; leaf-r.First < r.Count; leaf++ {
			if !s.appeared(leaf) {
				s.leaves = append(s.leaves, leaf)
			}
		}
	}
	s.spread(time.Now(), p, s.leaves)
}

// appeared notes a leaf that has come by itself since it became known: the repeat
// of one that was written, or a copy from another share.
func (s *session) appeared(leaf uint32) bool {
	if s.has(leaf) || !s.job.Has(int(leaf)) || !s.claim(leaf) {
		return false
	}
	s.here = append(s.here, leaf)
	return true
}

// settle tells the scheduler of leaves that have appeared.
func (s *session) settle(now time.Time) {
	for len(s.here) > 0 {
		here := s.here
		s.here = s.spare[:0] // handling them may find more
		s.settleThese(now, here)
		s.spare = here
	}
}

func (s *session) settleThese(now time.Time, here []uint32) {
	for _, leaf := range here {
		_, size := s.job.Leaf(int(leaf))
		if s.job.Wanted(int(leaf)) {
			s.stats.appeared(size)
		}
		s.fresh = append(s.fresh, leaf)
		s.handle(now, sched.Received{Leaf: sched.Leaf(leaf), Bytes: max(size, 0)})
	}
}

// sweep looks for leaves that have appeared, some at each tick: nobody may ever
// offer them, and then they are not found by requesting them.
func (s *session) sweep() {
	for range min(s.known, sweepLeaves) {
		if s.swept++; s.swept >= s.known {
			s.swept = 0
		}
		s.appeared(uint32(s.swept))
	}
}

// cancel takes leaves back on the connections they were asked on.
func (s *session) cancel(p *source, runs []wire.Run) {
	for _, sub := range p.subs {
		any := len(p.subs) == 1
		for _, r := range runs {
			any = sub.takeBack(r) || any
		}
		if any {
			sub.c.send(wire.Cancel{Handle: sub.handle, Runs: runs})
		}
	}
}
