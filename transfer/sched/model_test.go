package sched

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// This file checks the State against a plain model: maps of who has what, who
// was asked for what and what is here, after every event of random sequences,
// hostile ones included.

const (
	modelPeers  = 6
	modelLeaves = 9000 // two pages and a bit
)

type modelPeer struct {
	has  map[Leaf]bool // explicit haves and losses
	all  bool          // of what is not in has
	owes map[Leaf]bool
	away bool // choked
	busy time.Duration
}

func (p *modelPeer) holds(l Leaf) bool {
	if h, ok := p.has[l]; ok {
		return h
	}
	return p.all
}

type model struct {
	t     testing.TB
	s     *State
	now   time.Duration
	infos []LeafInfo
	ended bool
	here  map[Leaf]bool
	held  map[Leaf]bool
	peers map[peer.ID]*modelPeer
	done  int

	offered *modelPeer      // has made an offer
	answers int             // to that
	in      func(n int) int // the next choice, below n
}

func newModel(t testing.TB, cfg Config, in func(int) int) *model {
	cfg.MaxLeaves = modelLeaves
	return &model{t: t, s: New(cfg), here: map[Leaf]bool{}, held: map[Leaf]bool{}, peers: map[peer.ID]*modelPeer{}, in: in}
}

func (m *model) peer() peer.ID { return peer.ID(fmt.Sprint("p", m.in(modelPeers))) }

// leaf is mostly a known one, sometimes one that is not known or never will be.
func (m *model) leaf() Leaf {
	switch m.in(8) {
	case 0:
		return Leaf(m.in(modelLeaves + 100))
	case 1:
		return Leaf(m.in(1 << 32))
	}
	return Leaf(m.in(len(m.infos) + 1))
}

func (m *model) run() Run {
	switch m.in(6) {
	case 0:
		return Run{m.leaf(), uint32(m.in(1 << 32))}
	case 1:
		return Run{0, uint32(m.in(len(m.infos) + 1))}
	}
	return Run{m.leaf(), uint32(m.in(70))}
}

func (r Run) each(do func(Leaf)) {
	for l := uint64(r.First); l < min(uint64(r.First)+uint64(r.Count), modelLeaves); l++ {
		do(Leaf(l))
	}
}

// step makes up an event, applies it to both and compares.
func (m *model) step() {
	m.now += time.Duration(m.in(100)) * time.Millisecond
	id := m.peer()
	p := m.peers[id]
	switch m.in(22) {
	case 0:
		m.grow(m.in(300))
	case 1:
		m.join(id)
	case 2:
		if m.in(4) == 0 {
			delete(m.peers, id)
			m.handle(Leave{id})
		}
	case 3:
		if p != nil {
			p.has, p.all = map[Leaf]bool{}, true
		}
		m.handle(HaveAll{id})
	case 4:
		m.haveBits(id, p)
	case 5, 6:
		m.runs(id, p, true)
	case 7:
		m.runs(id, p, false)
	case 8, 9, 10, 11:
		m.refusal(id, p)
	case 12:
		m.handle(RTT{id, time.Duration(m.in(500)-5) * time.Millisecond})
	case 13:
		if m.in(10) == 0 {
			delete(m.peers, id)
			m.handle(Bad{id, m.leaf()})
		}
		if m.in(8) == 0 {
			m.ended = true
			m.handle(End{})
		}
	case 14:
		m.handle(Progress{id, m.in(1<<22) - 100})
	case 15:
		m.now += time.Duration(m.in(6000)) * time.Millisecond
		m.handle(Tick{})
	case 16:
		m.receive(id, m.leaf())
	case 17:
		m.need()
	case 18:
		r := m.run()
		r.each(func(l Leaf) { delete(m.held, l) })
		m.handle(Ask{[]Run{r}})
	default:
		if p != nil {
			if l, ok := m.owed(p); ok {
				m.receive(id, l)
			}
		}
	}
	m.compare()
}

func (m *model) need() {
	runs := make([]Run, m.in(3))
	for i := range runs {
		runs[i] = m.run()
		runs[i].each(func(l Leaf) {
			if int(l) < len(m.infos) && !m.infos[l].Need {
				m.infos[l].Need = true
				if !m.here[l] {
					m.done = 0 // may come once more
				}
			}
		})
	}
	m.handle(Need{runs})
}

// refusal chokes, makes an offer, unchokes (as often as the rest together) or sends us away.
func (m *model) refusal(id peer.ID, p *modelPeer) {
	switch m.in(6) {
	case 0:
		m.tell(p, Choke{Peer: id}, func() { p.away, p.owes = true, map[Leaf]bool{} })
	case 4:
		if p == nil {
			return
		}
		coming := []Leaf{m.leaf()} // perhaps not owed
		owes := map[Leaf]bool{}
		if l, ok := m.owed(p); ok {
			coming, owes[l] = append(coming, l), true
		}
		if p.owes[coming[0]] {
			owes[coming[0]] = true
		}
		m.tell(p, Choke{id, coming}, func() { p.away, p.owes = true, owes })
	case 5:
		m.offered, m.answers = p, 0
		m.handle(Offer{id, int64(m.in(4 << 20))})
		if p != nil && p.away && m.answers == 0 {
			m.t.Fatalf("an offer of %s has no answer", id)
		}
		m.offered = nil
	case 1:
		d := time.Duration(m.in(2000)) * time.Millisecond
		m.tell(p, Busy{id, d}, func() { p.busy, p.owes = m.now+d, map[Leaf]bool{} })
	default:
		m.tell(p, Unchoke{id}, func() { p.away, p.busy = false, 0 })
	}
}

func (m *model) tell(p *modelPeer, ev Event, change func()) {
	if p != nil {
		change()
	}
	m.handle(ev)
}

func (m *model) grow(n int) {
	infos := make([]LeafInfo, min(n, modelLeaves-len(m.infos)))
	sizes := []uint32{0, 100, 4096, 64 << 10, 1 << 20, 2 << 20}
	for i := range infos {
		infos[i] = LeafInfo{Size: sizes[m.in(len(sizes))], Need: m.in(8) != 0, Held: m.in(8) == 0}
	}
	if !m.ended {
		for i, info := range infos {
			m.held[Leaf(len(m.infos)+i)] = info.Need && info.Held
		}
		m.infos = append(m.infos, infos...)
	}
	m.handle(Grow{infos})
}

func (m *model) join(id peer.ID) {
	if m.peers[id] == nil {
		m.peers[id] = &modelPeer{has: map[Leaf]bool{}, owes: map[Leaf]bool{}}
	}
	m.handle(Join{id})
}

func (m *model) haveBits(id peer.ID, p *modelPeer) {
	first, b := m.leaf(), make([]byte, m.in(300))
	for i := range b {
		b[i] = byte(m.in(256))
		for j := range 8 {
			if l := uint64(first) + uint64(i*8+j); p != nil && b[i]&(1<<j) != 0 && l < modelLeaves {
				p.has[Leaf(l)] = true
			}
		}
	}
	m.handle(HaveBits{id, first, b})
}

func (m *model) runs(id peer.ID, p *modelPeer, on bool) {
	runs := make([]Run, m.in(4))
	for i := range runs {
		runs[i] = m.run()
		if p != nil {
			runs[i].each(func(l Leaf) {
				p.has[l] = on
				if !on {
					delete(p.owes, l)
				}
			})
		}
	}
	if on {
		m.handle(HaveRuns{id, runs})
	} else {
		m.handle(Lost{id, runs})
	}
}

func (m *model) owed(p *modelPeer) (Leaf, bool) {
	var list []Leaf
	for l := range p.owes {
		list = append(list, l)
	}
	slices.Sort(list)
	if len(list) == 0 {
		return 0, false
	}
	return list[m.in(len(list))], true
}

func (m *model) receive(id peer.ID, l Leaf) {
	if int(l) < len(m.infos) {
		m.here[l] = true
		if p := m.peers[id]; p != nil {
			delete(p.owes, l)
		}
	}
	m.handle(Received{id, l, m.in(2 << 20)})
}

func (m *model) wanted(l Leaf) bool { return int(l) < len(m.infos) && m.infos[l].Need && !m.here[l] }

// handle applies the event and checks each action against the model.
func (m *model) handle(ev Event) {
	m.t.Helper()
	declined := map[peer.ID]bool{}
	for _, a := range m.s.Handle(simEpoch.Add(m.now), ev) {
		switch a := a.(type) {
		case Request:
			m.request(ev, a)
		case Cancel:
			p := m.peers[a.Peer]
			a.Run.each(func(l Leaf) {
				if p == nil || !p.owes[l] {
					m.t.Fatalf("%T: cancel of leaf %d, which %s does not owe", ev, l, a.Peer)
				}
				delete(p.owes, l)
			})
		case Interest:
			if p := m.peers[a.Peer]; p == nil || !p.away {
				m.t.Fatalf("%T: %v for a peer that has not choked us", ev, a)
			} else if a.Declines && p == m.offered {
				m.answers++
			}
			if declined[a.Peer] && a.Wants {
				m.t.Fatalf("%T: %s is told that it may offer again, right after that was declined", ev, a.Peer)
			}
			declined[a.Peer] = declined[a.Peer] || a.Declines
		case Drop:
			delete(m.peers, a.Peer)
		case Done:
			m.done++
			for l := range Leaf(len(m.infos)) {
				if m.wanted(l) || !m.ended || m.done > 1 {
					m.t.Fatalf("%T: done (time %d) with leaf %d wanted %v", ev, m.done, l, m.wanted(l))
				}
			}
		}
	}
}

func (m *model) request(ev Event, a Request) {
	m.t.Helper()
	p := m.peers[a.Peer]
	if p != nil && p == m.offered {
		m.answers++
	}
	if p == nil || p.away && p != m.offered || m.now < p.busy || a.Run.Count == 0 || a.Run.Count > m.s.cfg.MaxRun {
		m.t.Fatalf("%T: request %v of a peer that is not there or away: %+v", ev, a, p)
	}
	last := Leaf(0)
	a.Run.each(func(l Leaf) {
		last = l
		if !m.wanted(l) || m.held[l] || !p.holds(l) || p.owes[l] {
			m.t.Fatalf("%T: leaf %d asked of %s: wanted %v, held %v, owed %v", ev, l, a.Peer, m.wanted(l), p.holds(l), p.owes[l])
		}
		p.owes[l] = true
	})
	q := m.s.byID[a.Peer]
	window := q.window
	if p == m.offered {
		window = max(window, q.out) // the offer's business
	}
	if over := q.out - window; over > m.s.t.cost(last) && over > 2<<20 {
		m.t.Fatalf("%T: %s owes %d bytes over its window of %d", ev, a.Peer, over, q.window)
	}
}

// compare checks the tables of the State against the model and each other.
func (m *model) compare() {
	m.t.Helper()
	s := m.s
	if len(s.peers) != len(m.peers) || len(s.byID) != len(m.peers) || s.t.n() != len(m.infos) {
		m.t.Fatalf("%d peers, %d in the model; %d leaves, %d in the model", len(s.peers), len(m.peers), s.t.n(), len(m.infos))
	}
	seeds, partials := 0, 0
	for _, q := range s.peers {
		p := m.peers[q.id]
		if q.haves.all {
			seeds++
		}
		if q.haves.partial() {
			partials++
		}
		m.comparePeer(q, p)
	}
	if seeds != s.seeds || partials != s.partials {
		m.t.Fatalf("%d seeds and %d partial peers, counted %d and %d", seeds, partials, s.seeds, s.partials)
	}
	m.compareLeaves()
}

func (m *model) comparePeer(q *peerState, p *modelPeer) {
	m.t.Helper()
	var out int64
	n := 0
	for _, r := range q.owed {
		if r.Count == 0 {
			m.t.Fatalf("%s: empty run", q.id)
		}
		r.each(func(l Leaf) {
			n++
			out += m.s.t.cost(l)
			if !p.owes[l] {
				m.t.Fatalf("%s: owes leaf %d, not so in the model", q.id, l)
			}
		})
	}
	if n != len(p.owes) || out != q.out {
		m.t.Fatalf("%s: owes %d leaves, %d in the model; %d bytes, counted %d", q.id, n, len(p.owes), out, q.out)
	}
	known, marked := 0, 0
	for _, pg := range q.haves.pages {
		if pg != nil {
			marked += popcount(pg[:])
		}
	}
	for l := range Leaf(len(m.infos)) {
		if p.holds(l) != q.haves.has(l) {
			m.t.Fatalf("%s: has leaf %d: %v, model %v", q.id, l, q.haves.has(l), p.holds(l))
		}
		if p.holds(l) {
			known++
		}
	}
	if known != q.known || marked != q.haves.marked {
		m.t.Fatalf("%s: has %d leaves, counted %d; %d marks, counted %d", q.id, known, q.known, marked, q.haves.marked)
	}
}

func (m *model) compareLeaves() {
	m.t.Helper()
	t := &m.s.t
	nfree, have := 0, 0
	var missing int64
	for l := range Leaf(len(m.infos)) {
		copies, avail := 0, 0
		for _, p := range m.peers {
			if p.owes[l] {
				copies++
			}
			if p.holds(l) {
				avail++
			}
		}
		free := m.wanted(l) && !m.held[l] && copies == 0
		switch {
		case copies != t.copies(l) || copies > maxCopies:
			m.t.Fatalf("leaf %d: owed by %d, counted %d", l, copies, t.copies(l))
		case free != t.isFree(l) || free && t.low[l/64] > t.avail[l]:
			m.t.Fatalf("leaf %d: free %v, marked %v; availability %d, bound %d", l, free, t.isFree(l), t.avail[l], t.low[l/64])
		case avail != m.s.Availability(l):
			m.t.Fatalf("leaf %d: held by %d, counted %d", l, avail, m.s.Availability(l))
		}
		if free {
			nfree++
		}
		if m.wanted(l) {
			missing += t.cost(l)
		} else if m.infos[l].Need {
			have++
		}
	}
	for i, sum := range t.sum {
		for w := i * 64; w < min(i*64+64, len(t.free)); w++ {
			if (sum&(1<<(w%64)) != 0) != (t.free[w] != 0) {
				m.t.Fatalf("summary of word %d is wrong", w)
			}
		}
	}
	if nfree != t.nfree || missing != t.missing || have != t.have {
		m.t.Fatalf("free %d counted %d, missing %d counted %d, have %d counted %d", nfree, t.nfree, missing, t.missing, have, t.have)
	}
}

// finish ends the sequence, joins a seed and delivers until Done.
func (m *model) finish() {
	m.ended = true
	m.handle(End{})
	clear(m.held)
	m.handle(Ask{[]Run{{0, 1 << 31}}})
	const id = peer.ID("seed")
	m.join(id)
	m.peers[id].all = true
	m.handle(HaveAll{id})
	for i := 0; m.done == 0; i++ {
		if i > 3*modelLeaves {
			m.t.Fatalf("never done: %+v", m.s.Stats())
		}
		m.now += 10 * time.Millisecond
		if l, ok := m.owed(m.peers[id]); ok {
			m.receive(id, l)
		} else {
			m.now += 200 * time.Millisecond
			m.handle(Tick{})
		}
		if i%64 == 0 {
			m.compare()
		}
	}
	m.compare()
	for range 20 {
		m.step()
	}
}

func TestModel(t *testing.T) {
	runs := 24
	if testing.Short() {
		runs = 10
	}
	for seed := range uint64(runs) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := newModel(t, Config{Seed: seed, InOrder: seed%5 == 4, MaxRun: uint32(seed%3) * 7}, func(n int) int { return rng.IntN(n) })
		m.grow(200)
		for range 200 {
			m.step()
		}
		m.finish()
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz"), uint64(1))
	f.Add([]byte{0, 1, 1, 0, 200, 1, 0, 3, 2, 17, 1, 17, 4, 15, 60, 15, 60, 15, 60}, uint64(7))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		data = data[:min(len(data), 4000)]
		in := func(n int) int {
			v := 0
			for range (bits.Len(uint(n-1)) + 7) / 8 {
				if len(data) > 0 {
					v, data = v<<8|int(data[0]), data[1:]
				}
			}
			return v % n
		}
		m := newModel(t, Config{Seed: seed, InOrder: seed&1 != 0}, in)
		m.grow(100)
		for len(data) > 0 {
			m.step()
		}
		m.finish()
	})
}
