package sched

import (
	"container/heap"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// This file is a small network in virtual time. Each node has an uplink and a
// downlink, each with a queue, and a latency; a node with a State fetches, and tells
// the others of each leaf it gets. An Uplink decides what is handed over, which then
// passes through a window for each receiver, as in a kernel. All messages wait in the
// same queues.

const (
	simPacket = 8 << 10
	simWindow = 192 << 10 // under way to one receiver, over what the path holds
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
	queue    []simPart  // in the uplink
	sending  bool
	upFree   time.Duration // when all that is queued has been sent
	uplink   *Uplink
	spread   *Spread // nil: gives what it is asked for
	lastSent time.Duration
	downFree time.Duration

	sent      int64
	requests  int
	cancels   int
	copies    int64 // payload that came twice
	doneAt    time.Duration
	dropped   []peer.ID
	firstLeaf time.Duration
	moveOn    func() // the reader behind a fetcher looks at what is here, nil: none
}

type simConn struct {
	from, to *simNode
	id       ConnID
	member   Member
	queue    []Leaf
	choked   bool
	chokes   int  // sent
	heard    int  // of these, by the requester
	heeded   bool // the last one has been answered
	offers   int
	wants    bool
	turn     bool
	leaf     Leaf      // being handed over, at a turn
	left     int       // bytes of it that are not
	buffer   []simPart // handed over, not in the uplink's queue
	buffered int       // bytes of that
	inFlight int       // there, or on the way
	got      uint64
	told     uint64 // of got, acknowledged
	progress time.Duration
	part     int
	begun    []Leaf        // at a turn, and not all there
	unwanted map[Leaf]bool // cancelled since
}

// simPart is a packet.
type simPart struct {
	conn *simConn
	leaf Leaf
	size int
	last bool
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
	n := &simNode{sim: s, id: peer.ID(fmt.Sprintf("peer%02d", len(s.nodes))), up: up, down: down, lat: lat, silent: -1, uplink: NewUplink(uint64(len(s.nodes)))}
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
	for _, n := range s.nodes {
		s.tickUplink(n)
	}
	for len(s.events) > 0 && !s.finished() {
		if s.events[0].at > limit {
			for _, n := range s.nodes {
				if n.st != nil {
					s.t.Logf("%s: %+v", n.id, n.st.Stats())
				}
			}
			s.t.Fatalf("not done after %v", limit)
		}
		s.step()
	}
}

func (s *sim) step() {
	e := heap.Pop(&s.events).(simEvent)
	s.now = e.at
	e.do()
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

func (s *sim) tickUplink(n *simNode) {
	n.turns(n.uplink.Tick(s.at()))
	for _, c := range n.conns {
		c.choke(n.uplink.Turns())
	}
	n.pump()
	s.after(100*time.Millisecond, func() { s.tickUplink(n) })
}

// tell carries a message, behind what waits in the queues.
func (n *simNode) tell(m *simNode, do func()) {
	s := n.sim
	s.after(max(n.upFree-s.now, 0)+n.lat+m.lat, func() {
		s.after(max(m.downFree-s.now, 0), do)
	})
}

// choke chokes the requester, or no more.
func (c *simConn) choke(on bool) {
	if c.choked == on {
		return
	}
	c.choked, c.heeded, c.offers, c.wants = on, false, 0, false
	if on {
		c.chokes++
	}
	if !on {
		c.from.tell(c.to, func() { c.to.hear(Unchoke{c.from.id}) })
		return
	}
	c.queue = nil
	coming := slices.Clone(c.begun)
	c.from.tell(c.to, func() {
		c.heard++
		c.to.hear(Choke{c.from.id, slices.DeleteFunc(coming, func(l Leaf) bool { return c.unwanted[l] })})
	})
}

// hear passes on what a provider says, unless nothing is wanted any more.
func (n *simNode) hear(ev Event) {
	if n.doneAt == 0 {
		n.handle(ev)
	}
}

// meet makes n know m and what it has.
func (n *simNode) meet(m *simNode) {
	n.handle(Join{m.id})
	n.handle(RTT{m.id, 2 * (n.lat + m.lat)})
	n.learn(m)
}

// learn tells n what m has.
func (n *simNode) learn(m *simNode) {
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
		case Interest:
			m := n.sim.node(a.Peer)
			heard := m.conn(n).heard
			n.tell(m, func() {
				c := m.conn(n)
				c.heeded = c.heeded || heard == c.chokes
				c.wants = a.Wants && c.choked && c.heeded
				if a.Declines && c.offers > 0 {
					c.offers--
				}
				m.turns(m.uplink.Interest(n.sim.at(), c.id, c.wants, a.Load, a.Declines))
			})
		case Drop:
			n.dropped = append(n.dropped, a.Peer)
		case Done:
			if n.moveOn != nil {
				continue // the reader says when it has had enough
			}
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
	heard := m.conn(n).heard
	n.tell(m, func() {
		c := m.conn(n)
		if heard < c.chokes || c.choked && c.offers == 0 {
			return // from before the choke
		}
		if c.choked {
			c.offers--
		}
		for i := range r.Count {
			c.queue = append(c.queue, r.First+Leaf(i))
		}
		m.turns(m.uplink.Ask(n.sim.at(), c.id))
		m.pump()
	})
}

func (n *simNode) cancel(m *simNode, r Run) {
	for i := range r.Count {
		m.conn(n).unwanted[r.First+Leaf(i)] = true
	}
	n.tell(m, func() {
		c := m.conn(n)
		c.queue = slices.DeleteFunc(c.queue, func(l Leaf) bool { return l >= r.First && l-r.First < Leaf(r.Count) })
		if c.left > 0 && c.leaf >= r.First && c.leaf-r.First < Leaf(r.Count) { // broken off
			c.left, c.turn = 0, false
			c.begun = slices.DeleteFunc(c.begun, func(b Leaf) bool { return b == c.leaf })
			m.turns(m.uplink.Whole(n.sim.at(), c.id, len(c.queue) > 0))
		}
	})
}

func (n *simNode) conn(to *simNode) *simConn {
	for _, c := range n.conns {
		if c.to == to {
			return c
		}
	}
	c := &simConn{from: n, to: to, id: ConnID(len(n.conns)), unwanted: map[Leaf]bool{}}
	n.conns = append(n.conns, c)
	n.uplink.Add(c.id, to.id)
	n.uplink.Got(n.sim.at(), c.id, 0, 0)
	if n.spread != nil {
		c.member = n.spread.Join()
		if given := n.spread.Given(c.member); len(given) > 0 {
			n.tell(to, func() { to.lost(n, given) })
		}
	}
	return c
}

// at is the time as the policies see it.
func (s *sim) at() time.Time { return simEpoch.Add(s.now) }

// turns lets conns begin, or makes them offers.
func (n *simNode) turns(grants []Grant) {
	for _, g := range slices.Clone(grants) {
		c := n.conns[g.Conn]
		if g.Offer {
			if !c.wants || !c.heeded {
				n.turns(n.uplink.Interest(n.sim.at(), c.id, false, 0, true))
				continue
			}
			c.offers++
			n.tell(c.to, func() { c.to.hear(Offer{n.id, TurnBytes}) })
			continue
		}
		c.turn = true
		if !c.take() {
			c.turn = false
			n.turns(n.uplink.Whole(n.sim.at(), c.id, false))
		}
	}
}

// take starts the next leaf of the queue that may be given.
func (c *simConn) take() bool {
	n := c.from
	for len(c.queue) > 0 {
		l := c.queue[0]
		c.queue = c.queue[1:]
		if n.spread != nil {
			give, news := n.spread.Take(c.member, l)
			if news {
				for _, o := range n.conns {
					if o != c {
						n.sim.after(5*time.Millisecond, func() { n.tell(o.to, func() { o.to.lost(n, []Run{{l, 1}}) }) })
					}
				}
			}
			if !give {
				continue
			}
		}
		c.leaf, c.left = l, int(max(n.sim.infos[l].Size, 1))
		c.begun = append(c.begun, l)
		delete(c.unwanted, l)
		return true
	}
	return false
}

func (n *simNode) lost(from *simNode, runs []Run) {
	if n.doneAt == 0 {
		n.handle(Lost{from.id, runs})
	}
}

// pump hands over what may be, and sends the next packet if the uplink is idle.
func (n *simNode) pump() {
	if n.silent >= 0 && n.sim.now >= n.silent {
		return
	}
	for _, c := range n.conns {
		if !c.turn && len(c.queue) > 0 {
			n.turns(n.uplink.Ask(n.sim.at(), c.id))
		}
	}
	for _, c := range n.conns {
		c.handOver()
		c.inject()
	}
	if n.sending || len(n.queue) == 0 {
		return
	}
	p := n.queue[0]
	n.queue = n.queue[1:]
	n.sending = true
	n.sent += int64(p.size)
	n.lastSent = n.sim.now
	n.sim.after(seconds(float64(p.size)/n.up), func() {
		n.sending = false
		n.lastSent = n.sim.now
		n.sim.after(n.lat+p.conn.to.lat, func() { p.conn.arrive(p.leaf, p.size, p.last) })
		n.pump()
		if n.spread != nil && !n.sending {
			n.sim.after(simIdle, n.idle)
		}
	})
}

// handOver passes on what a conn that is at its turn has room for.
func (c *simConn) handOver() {
	n := c.from
	for c.turn {
		room, _ := n.uplink.Room(n.sim.at(), c.id)
		if !n.uplink.Crowd(n.sim.at()) { // then nobody is asked to tell what has got through
			room = simWindow + int64(n.up*2*(n.lat+c.to.lat).Seconds()) - int64(c.inFlight+c.buffered)
		}
		size := min(c.left, simPacket, int(room))
		if size <= 0 {
			return
		}
		c.left -= size
		c.buffer = append(c.buffer, simPart{c, c.leaf, size, c.left == 0})
		c.buffered += size
		n.uplink.Sent(n.sim.at(), c.id, size)
		if c.left == 0 {
			c.turn = false
			n.turns(n.uplink.Whole(n.sim.at(), c.id, len(c.queue) > 0))
		}
	}
}

// inject puts what the window lets through into the uplink's queue.
func (c *simConn) inject() {
	n := c.from
	for len(c.buffer) > 0 && c.inFlight < simWindow+int(n.up*2*(n.lat+c.to.lat).Seconds()) {
		p := c.buffer[0]
		c.buffer = c.buffer[1:]
		c.inFlight += p.size
		c.buffered -= p.size
		n.queue = append(n.queue, p)
		n.upFree = max(n.upFree, n.sim.now) + seconds(float64(p.size)/n.up)
	}
}

const simIdle = 20 * time.Millisecond

// idle begins the next round of a spread when nothing is asked any more.
func (n *simNode) idle() {
	if idle := n.sim.now - n.lastSent; n.sending || idle < simIdle {
		return
	} else if wait := n.uplink.TurnTime() - idle; wait > 0 {
		n.sim.after(wait, n.idle)
		return
	}
	for _, c := range n.conns {
		if len(c.queue) > 0 || c.turn || c.wants {
			return
		}
	}
	if !n.spread.NextRound() {
		return
	}
	for _, c := range n.conns {
		n.tell(c.to, func() {
			if c.to.doneAt == 0 {
				c.to.learn(n)
			}
		})
	}
}

func seconds(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }

// arrive queues a packet at the receiver's downlink.
func (c *simConn) arrive(l Leaf, size int, last bool) {
	n, s := c.to, c.from.sim
	n.downFree = max(n.downFree, s.now) + seconds(float64(size)/n.down)
	s.after(n.downFree-s.now, func() {
		if last {
			c.begun = slices.DeleteFunc(c.begun, func(b Leaf) bool { return b == l })
		}
		n.tell(c.from, func() { // TCP's acknowledgement
			c.inFlight -= size
			c.from.pump()
		})
		if c.got += uint64(size); c.got-c.told >= 32<<10 {
			got := c.got
			c.told = got
			n.tell(c.from, func() {
				c.from.turns(c.from.uplink.Got(s.at(), c.id, got, 2*(c.from.lat+n.lat)))
				c.from.pump()
			})
		}
		if c.part += size; last {
			c.part = 0
			n.received(c.from, l)
		} else if s.progress && s.now-c.progress >= 50*time.Millisecond {
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
	if n.moveOn != nil {
		n.moveOn()
	}
	for _, m := range s.nodes {
		if m != n && m.st != nil && m.doneAt == 0 {
			s.after(5*time.Millisecond, func() { n.tell(m, func() { m.hear(HaveRuns{n.id, []Run{{l, 1}}}) }) })
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
