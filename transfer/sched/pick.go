package sched

import "math/bits"

const (
	// pieceBytes is how much of neighbouring leaves of the same rarity goes
	// together in a swarm: one leaf of the usual size, many small ones.
	pieceBytes = 1 << 20

	// alignBytes is how far the start of a piece moves back so that small
	// leaves are not left over in crumbs between pieces.
	alignBytes = 256 << 10

	// Searches for the rarest leaf look closely at so many words of 64 leaves
	// and pass over so many: exact for 4,096 leaves, or for 65,536 where the
	// bounds in leaves.low tell, a good sample beyond.
	closeWords = 64
	passWords  = 1024

	// gapSearch bounds the stretches of free leaves compared for a new region.
	gapSearch = 256
)

// refill asks a peer for more if what it owes has sunk to three quarters of
// its window, and looks for work of others when there is no free leaf for it.
func (s *State) refill(p *peerState) {
	if !p.usable(s.now) {
		return
	}
	if p.probation {
		if p.out == 0 && !s.now.Before(p.retryAt) {
			s.fill(p, 1)
		}
		return
	}
	if s.cfg.InOrder && s.heldBack(p) {
		return
	}
	if p.choked || p.out <= p.window/4*3 {
		s.fill(p, p.allowed())
	}
	if p.out < p.allowed() {
		p.starved = true
		s.help(p)
	}
}

// fill asks a peer for free leaves until it owes limit bytes.
func (s *State) fill(p *peerState, limit int64) {
	for p.out < limit && len(p.owed) < maxOwedRuns && s.t.nfree > 0 && !p.dry {
		first, ok := s.pick(p)
		if !ok {
			p.dry = !s.cfg.InOrder || !s.couldHelp(p)
			return
		}
		room := s.share(p, first, limit-p.out)
		if room <= 0 {
			return
		}
		run := s.extend(p, first, room)
		s.ask(p, run)
		p.cursor = run.First + Leaf(run.Count)
	}
}

// pick returns a free leaf that the peer has.
func (s *State) pick(p *peerState) (Leaf, bool) {
	if p.hinted {
		p.hinted = false
		if s.t.isFree(p.hint) && p.haves.has(p.hint) {
			return p.hint, true
		}
	}
	switch {
	case p.known == 0:
		return 0, false
	case s.cfg.InOrder:
		return s.pickInOrder(p)
	case s.partials == 0:
		return s.pickRegion(p)
	}
	return s.pickRarest(p)
}

// extend makes a run of about room bytes, of free leaves that the peer has,
// from a leaf on. At least one leaf, and over room by no more than the last.
func (s *State) extend(p *peerState, first Leaf, room int64) Run {
	rare := s.partials > 0 && !s.cfg.InOrder
	if rare {
		room = min(room, pieceBytes)
	}
	like := func(l Leaf) bool {
		return s.t.isFree(l) && p.haves.has(l) && (!rare || s.t.avail[l] == s.t.avail[first])
	}
	start := first
	if rare {
		for back := s.t.cost(first); start%64 != 0 && like(start-1); start-- {
			if back += s.t.cost(start - 1); back > alignBytes {
				break
			}
		}
	}
	run := Run{First: start}
	for sum := int64(0); sum < room && run.Count < s.cfg.MaxRun; run.Count++ {
		l := start + Leaf(run.Count)
		if !like(l) {
			break
		}
		sum += s.t.cost(l)
	}
	return run
}

// pickRarest returns one of the rarest leaves that are free and that the peer
// has. Words are tried from a random one on and ties within a word are broken
// at random.
func (s *State) pickRarest(p *peerState) (Leaf, bool) {
	words := len(s.t.free)
	var ties uint64
	var in int
	best, looks := int16(0), 0
	w := s.rng.IntN(words)
	for i := 0; i < words; i++ {
		if ties != 0 && (i >= passWords || looks >= closeWords) {
			break
		}
		if s.t.free[w] != 0 && (ties == 0 || s.t.low[w] < best) {
			if m := s.t.free[w] & p.haves.word(w); m != 0 {
				looks++
				if a, t := s.t.tighten(w, m); ties == 0 || a < best {
					best, ties, in = a, t, w
				}
			}
		}
		if w++; w == words {
			w = 0
		}
	}
	if ties == 0 {
		return 0, false
	}
	for skip := s.rng.IntN(bits.OnesCount64(ties)); skip > 0; skip-- {
		ties &= ties - 1
	}
	return Leaf(in*64 + bits.TrailingZeros64(ties)), true
}

// pickRegion goes on where the peer's last run ended and, when it runs into
// another's region, opens a new one: in the longest stretch of free leaves,
// from its start or, where another peer is about to go on there, from the point
// at which both would finish the stretch together.
func (s *State) pickRegion(p *peerState) (Leaf, bool) {
	if s.t.isFree(p.cursor) {
		return p.cursor, true
	}
	a, n := s.longestGap()
	if n == 0 {
		return 0, false
	}
	rival := s.rivalAt(p, a)
	if rival == nil {
		return a, true
	}
	part := 0.5
	if rp, rq := s.rate(p), s.rate(rival); rp > 0 && rq > 0 {
		part = rq / (rp + rq)
	}
	return a + min(Leaf(float64(n)*part), n-1), true
}

// longestGap returns a long stretch of free leaves: the longest of those in a
// bounded search from a random place.
func (s *State) longestGap() (first, n Leaf) {
	if s.t.nfree == 0 {
		return 0, 0
	}
	l := Leaf(0)
	if s.t.n() > passWords*64 {
		l = Leaf(s.rng.IntN(s.t.n()))
		l = s.gapStart(l)
	}
	from, wrapped := l, false
	for i := 0; i < gapSearch; i++ {
		a, ok := s.t.nextFree(l)
		if !ok || (wrapped && a >= from) {
			if wrapped || from == 0 {
				break
			}
			l, wrapped = 0, true
			continue
		}
		b := s.t.nextTaken(a)
		if b-a > n {
			first, n = a, b-a
		}
		l = b
	}
	return first, n
}

// gapStart goes back to the start of the stretch that a leaf is in, word by
// word, for a bounded way.
func (s *State) gapStart(l Leaf) Leaf {
	l -= l % 64
	for i := 0; i < passWords && l > 0 && s.t.free[l/64-1] == ^uint64(0); i++ {
		l -= 64
	}
	return l
}

// rivalAt returns another working peer whose region goes on at a leaf.
func (s *State) rivalAt(p *peerState, l Leaf) *peerState {
	for _, q := range s.peers {
		if q != p && q.out > 0 && q.cursor == l && q.serves(s.now) && !q.probation {
			return q
		}
	}
	return nil
}

// inFlight is the cost of all that peers owe.
func (s *State) inFlight() int64 {
	var n int64
	for _, p := range s.peers {
		n += p.out
	}
	return n
}
