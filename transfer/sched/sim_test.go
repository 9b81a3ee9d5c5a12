package sched

import (
	"container/heap"
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// This file is a small network in virtual time. Each node has one uplink, whose
// packets go round robin to those who asked, one downlink, and a latency; a
// node with a State fetches, and tells the others of each leaf it gets.

const (
	simPacket = 16 << 10
	simBuffer = 256 << 10 // sent to one receiver and not read by it, over what the path holds
	mbit      = 1e6 / 8   // bytes a second
)

type simEvent struct {
	at  time.Duration
	seq int
	do  func()
}

type simHeap []simEvent

func (h simHeap) Len() int { return len(h) }
func (h simHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h simHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *simHeap) Push(x any)   { *h = append(*h, x.(simEvent)) }
func (h *simHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

type simNode struct {
	sim      *sim
	id       peer.ID
	up, down float64 // B/s
	lat      time.Duration
	has      []bool
	st       *State // nil: only serves
	silent   time.Duration

	conns    []*simConn // to those who asked
	turn     int
	sending  bool
	downFree time.Duration

	sent      int64
	requests  int
	cancels   int
	copies    int64 // payload that came twice
	doneAt    time.Duration
	dropped   []peer.ID
	firstLeaf time.Duration
}

type simConn struct {
	from, to *simNode
	queue    []Leaf
	left     int // bytes of queue[0] to send, 0: not begun
	inFlight int
	progress time.Duration
	part     int
}

type sim struct {
	t        testing.TB
	now      time.Duration
	seq      int
	events   simHeap
	nodes    []*simNode
	infos    []LeafInfo
	ticks    time.Duration
	progress bool // fetchers report Progress
}

var simEpoch = time.Unix(1_700_000_000, 0)

func newSim(t testing.TB, infos []LeafInfo) *sim {
	return &sim{t: t, infos: infos, ticks: 250 * time.Millisecond}
}

// equalLeaves returns n needed leaves of one size.
func equalLeaves(n int, size uint32) []LeafInfo {
	infos := make([]LeafInfo, n)
	for i := range infos {
		infos[i] = LeafInfo{Size: size, Need: true}
	}
	return infos
}

func (s *sim) after(d time.Duration, do func()) {
	s.seq++
	heap.Push(&s.events, simEvent{s.now + d, s.seq, do})
}

// add makes a node that has the leaves for which has says so (nil: all).
func (s *sim) add(up, down float64, lat time.Duration, has func(int) bool) *simNode {
	n := &simNode{sim: s, id: peer.ID(fmt.Sprintf("peer%02d", len(s.nodes))), up: up, down: down, lat: lat, silent: -1}
	n.has = make([]bool, len(s.infos))
	for i := range n.has {
		n.has[i] = has == nil || has(i)
	}
	s.nodes = append(s.nodes, n)
	return n
}

// fetcher makes a node that has nothing and wants all.
func (s *sim) fetcher(up, down float64, lat time.Duration, cfg Config) *simNode {
	n := s.add(up, down, lat, func(int) bool { return false })
	n.st = New(cfg)
	return n
}

// run lets every fetcher meet every other node and goes on until all are done.
func (s *sim) run(limit time.Duration) {
	s.t.Helper()
	for _, n := range s.nodes {
		if n.st == nil {
			continue
		}
		for _, m := range s.nodes {
			if m != n {
				n.meet(m)
			}
		}
		n.handle(Grow{s.infos})
		n.handle(End{})
		s.tick(n)
	}
	for len(s.events) > 0 && !s.finished() {
		e := heap.Pop(&s.events).(simEvent)
		s.now = e.at
		if s.now > limit {
			for _, n := range s.nodes {
				if n.st != nil {
					s.t.Logf("%s: %+v", n.id, n.st.Stats())
				}
			}
			s.t.Fatalf("not done after %v", limit)
		}
		e.do()
	}
}

func (s *sim) finished() bool {
	for _, n := range s.nodes {
		if n.st != nil && n.doneAt == 0 {
			return false
		}
	}
	return true
}

func (s *sim) tick(n *simNode) {
	if n.doneAt > 0 {
		return
	}
	n.handle(Tick{})
	s.after(s.ticks, func() { s.tick(n) })
}

// meet makes n know m and what it has.
func (n *simNode) meet(m *simNode) {
	n.handle(Join{m.id})
	n.handle(RTT{m.id, 2 * (n.lat + m.lat)})
	var runs []Run
	all := true
	for i, has := range m.has {
		if has {
			runs = append(runs, Run{Leaf(i), 1})
		}
		all = all && has
	}
	if all {
		n.handle(HaveAll{m.id})
	} else {
		n.handle(HaveRuns{m.id, runs})
	}
}

func (s *sim) node(id peer.ID) *simNode {
	for _, n := range s.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

// handle gives an event to a fetcher and carries out what it answers.
func (n *simNode) handle(ev Event) {
	for _, a := range n.st.Handle(simEpoch.Add(n.sim.now), ev) {
		switch a := a.(type) {
		case Request:
			n.requests++
			n.request(n.sim.node(a.Peer), a.Run)
		case Cancel:
			n.cancels++
			n.cancel(n.sim.node(a.Peer), a.Run)
		case Drop:
			n.dropped = append(n.dropped, a.Peer)
		case Done:
			if n.doneAt != 0 {
				n.sim.t.Errorf("%s: done twice", n.id)
			}
			n.doneAt = n.sim.now
		}
	}
}

func (n *simNode) request(m *simNode, r Run) {
	for i := range r.Count {
		l := r.First + Leaf(i)
		if !m.has[l] || n.has[l] {
			n.sim.t.Fatalf("%s asks %s for leaf %d: has it %v, peer has it %v", n.id, m.id, l, n.has[l], m.has[l])
		}
	}
	n.sim.after(n.lat+m.lat, func() {
		c := m.conn(n)
		for i := range r.Count {
			c.queue = append(c.queue, r.First+Leaf(i))
		}
		m.pump()
	})
}

func (n *simNode) cancel(m *simNode, r Run) {
	n.sim.after(n.lat+m.lat, func() {
		c := m.conn(n)
		keep := c.queue[:0]
		for i, l := range c.queue {
			begun := i == 0 && c.left > 0
			if begun || l < r.First || l-r.First >= Leaf(r.Count) {
				keep = append(keep, l)
			}
		}
		c.queue = keep
	})
}

func (n *simNode) conn(to *simNode) *simConn {
	for _, c := range n.conns {
		if c.to == to {
			return c
		}
	}
	c := &simConn{from: n, to: to}
	n.conns = append(n.conns, c)
	return c
}

// pump sends the next packet if the uplink is idle.
func (n *simNode) pump() {
	if n.sending || n.silent >= 0 && n.sim.now >= n.silent {
		return
	}
	for i := range n.conns {
		c := n.conns[(n.turn+i)%len(n.conns)]
		if len(c.queue) == 0 || c.inFlight >= simBuffer+int(n.up*2*(n.lat+c.to.lat).Seconds()) {
			continue
		}
		n.turn = (n.turn + i + 1) % len(n.conns)
		n.sendOn(c)
		return
	}
}

func (n *simNode) sendOn(c *simConn) {
	l := c.queue[0]
	if c.left == 0 {
		c.left = int(max(n.sim.infos[l].Size, 1))
	}
	size := min(c.left, simPacket)
	c.left -= size
	c.inFlight += size
	last := c.left == 0
	if last {
		c.queue = c.queue[1:]
	}
	n.sending = true
	n.sent += int64(size)
	n.sim.after(seconds(float64(size)/n.up), func() {
		n.sending = false
		n.sim.after(n.lat+c.to.lat, func() { c.arrive(l, size, last) })
		n.pump()
	})
}

func seconds(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }

// arrive queues a packet at the receiver's downlink.
func (c *simConn) arrive(l Leaf, size int, last bool) {
	n, s := c.to, c.from.sim
	n.downFree = max(n.downFree, s.now) + seconds(float64(size)/n.down)
	s.after(n.downFree-s.now, func() {
		c.inFlight -= size
		c.from.pump()
		if c.part += size; last {
			c.part = 0
			n.received(c.from, l)
		} else if s.progress && s.now-c.progress >= 250*time.Millisecond {
			c.progress = s.now
			n.handle(Progress{c.from.id, c.part})
			c.part = 0
		}
	})
}

func (n *simNode) received(from *simNode, l Leaf) {
	s, fresh := n.sim, !n.has[l]
	if n.firstLeaf == 0 {
		n.firstLeaf = s.now
	}
	n.has[l] = true
	if !fresh {
		n.copies += int64(s.infos[l].Size)
	}
	n.handle(Received{from.id, l, int(s.infos[l].Size)})
	if !fresh {
		return
	}
	for _, m := range s.nodes {
		if m != n && m.st != nil && m.doneAt == 0 {
			s.after(n.lat+m.lat, func() { m.handle(HaveRuns{n.id, []Run{{l, 1}}}) })
		}
	}
}

func (s *sim) totalBytes() int64 {
	var sum int64
	for _, i := range s.infos {
		sum += int64(i.Size)
	}
	return sum
}
