package transfer

import (
	"time"

	"shoal/transfer/wire"
)

// noNodesWait is how long a peer without more nodes is left alone, unless it says
// that it knows more.
const noNodesWait = time.Second

// nodeWalk fetches a root's inner nodes: all of them from one peer, in order, and
// from another one when that peer has no more or is silent.
type nodeWalk struct {
	from *source   // asked now
	last time.Time // it was asked or sent the last node
}

// left forgets a peer that is no longer subscribed at.
func (w *nodeWalk) left(p *source) {
	if w.from == p {
		w.from = nil
	}
}

// walkNodes makes sure that somebody is asked for the nodes that are missing.
func (s *session) walkNodes(now time.Time) {
	if s.complete {
		s.nodes.from = nil
		return
	}
	old := s.nodes.from
	if old != nil && now.Sub(s.nodes.last) < s.nodeTimeout() {
		return
	}
	var next *source
	for _, p := range s.peers {
		if p == old || now.Before(p.noNodes) {
			continue
		}
		// Who has answered comes first, then who has waited longest.
		if next == nil || p.answered && !next.answered ||
			p.answered == next.answered && p.noNodes.Before(next.noNodes) {
			next = p
		}
	}
	if next == nil {
		return
	}
	if old != nil {
		old.noNodes = now.Add(s.nodeTimeout())
	}
	s.nodes.from, s.nodes.last = next, now
	if next.sendsNodes { // given up earlier, and going on: it will come to the node
		return
	}
	next.sendsNodes, next.nextNode = true, s.job.Nodes()
	next.sub.c.send(wire.Nodes{Handle: next.sub.handle, From: uint32(s.job.Nodes())})
}

// node takes an inner node. One that is known is thrown away: two peers may be
// sending after one of them was given up too early.
func (s *session) node(now time.Time, p *source, m wire.Node, d digest) error {
	want, ok := s.job.NextNode()
	known := s.job.Nodes()
	if !p.sendsNodes || int(m.Index) != p.nextNode || p.nextNode > known || !ok && p.nextNode == known {
		return violation("node %d was not asked", m.Index)
	}
	p.nextNode++
	if int(m.Index) < known {
		s.stats.duplicate += int64(len(m.Block))
		return nil
	}
	if sum, ok := digestOf(want); !ok || sum != d {
		s.stats.corrupt += int64(len(m.Block))
		return violation("node %d is not %s", m.Index, want)
	}
	s.nodes.last = now
	return s.addNode(now, m.Block)
}

// noNode ends a peer's stream of nodes.
func (s *session) noNode(now time.Time, p *source) {
	p.sendsNodes = false
	p.noNodes = now.Add(noNodesWait)
	if s.nodes.from == p {
		s.nodes.from = nil
		s.walkNodes(now)
	}
}
