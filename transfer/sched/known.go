package sched

import "math/bits"

// This file keeps count of who has what: the peers' bitmaps and, for the leaves
// that are known, how many peers have each.

// onHaveAll makes the peer a full seed. Without earlier haves that is O(1).
func (s *State) onHaveAll(p *peerState) *peerState {
	if p == nil {
		return nil
	}
	s.forgetHaves(p)
	p.haves.all, p.known, p.dry = true, s.t.n(), false
	s.seeds++
	return p
}

// onHaveBits marks the leaves of a bitmap, a word at a time.
func (s *State) onHaveBits(p *peerState, first Leaf, set []byte) *peerState {
	if p == nil || uint64(first) >= uint64(s.cfg.MaxLeaves) {
		return nil
	}
	set = set[:min(len(set), int(s.cfg.MaxLeaves-uint32(first)+7)/8)]
	was := p.haves.partial()
	for i, b := range set {
		if b == 0 {
			continue
		}
		l := uint64(first) + uint64(i)*8
		w, off := int(l/64), l%64
		s.mark(p, w, uint64(b)<<off, true)
		if off > 56 {
			s.mark(p, w+1, uint64(b)>>(64-off), true)
		}
	}
	s.recount(p, was)
	return p
}

// onRuns marks or unmarks runs of leaves.
func (s *State) onRuns(p *peerState, runs []Run, on bool) *peerState {
	if p == nil {
		return nil
	}
	was := p.haves.partial()
	for _, r := range runs {
		end := min(uint64(r.First)+uint64(r.Count), uint64(s.cfg.MaxLeaves))
		if uint64(r.First) < end {
			s.markRun(p, uint64(r.First), end, on)
		}
	}
	s.recount(p, was)
	if on {
		return p
	}
	s.reclaim(p)
	if p.churn > 2*int64(s.t.n())+1<<16 {
		s.drop(p, "takes back chunks over and over")
		return nil
	}
	return p
}

// reclaim frees what the peer owes but no longer has.
func (s *State) reclaim(p *peerState) {
	var lost []Leaf
	for _, r := range p.owed {
		for l := r.First; l < r.First+Leaf(r.Count); l++ {
			if !p.haves.has(l) {
				lost = append(lost, l)
			}
		}
	}
	for _, l := range lost {
		if l == p.head() {
			p.partial = 0
		}
		p.forget(l)
		p.out -= s.t.cost(l)
		s.t.drop(l)
		s.freed = true
	}
}

// markRun marks [first, end), whole pages at once where that is possible.
func (s *State) markRun(p *peerState, first, end uint64, on bool) {
	for l := first; l < end; {
		w := int(l / 64)
		if l%pageLeaves == 0 && end-l >= pageLeaves {
			i := w / pageWords
			if p.haves.painted(i, on) {
				l += pageLeaves
				continue
			}
			if s.t.n() <= w*64 {
				p.haves.paint(i, on)
				l += pageLeaves
				continue
			}
		}
		next := min((l/64+1)*64, end)
		m := ^uint64(0) << (l % 64)
		if next%64 != 0 {
			m &= 1<<(next%64) - 1
		}
		s.mark(p, w, m, on)
		l = next
	}
}

// mark says of the leaves set in word w whether the peer has them.
func (s *State) mark(p *peerState, w int, set uint64, on bool) {
	if limit := uint64(s.cfg.MaxLeaves); uint64(w)*64+64 > limit {
		if uint64(w)*64 >= limit {
			return
		}
		set &= 1<<(limit%64) - 1
	}
	if on {
		set &^= p.haves.word(w)
	} else {
		set &= p.haves.word(w)
	}
	if set == 0 {
		return
	}
	n := bits.OnesCount64(set)
	p.haves.flip(w, set, n, on)
	known := set & s.t.knownMask(w)
	nknown := bits.OnesCount64(known)
	if !on {
		p.churn += int64(n)
		p.known -= nknown
		s.t.adjust(w, known, -1)
		return
	}
	p.known += nknown
	s.t.adjust(w, known, 1)
	if p.dry && known != 0 {
		s.quench(p, w, known)
	}
}

// quench ends the drought of a peer that got a leaf we want.
func (s *State) quench(p *peerState, w int, known uint64) {
	if m := s.t.free[w] & known; m != 0 {
		p.dry, p.hinted = false, true
		p.hint = Leaf(w*64 + bits.TrailingZeros64(m))
	}
}

// recount follows a change of the peer's haves; was tells if it was partial.
func (s *State) recount(p *peerState, was bool) {
	if was {
		s.partials--
	}
	if p.haves.partial() {
		s.partials++
	}
	s.promote(p)
}

// promote makes a full seed of a partial peer that has every leaf there is.
func (s *State) promote(p *peerState) {
	if s.ended && !p.haves.all && p.known == s.t.n() && p.known > 0 {
		dry := p.dry
		s.onHaveAll(p)
		p.dry = dry
	}
}

// reveal counts the availability of leaves from first on, which are new.
func (s *State) reveal(p *peerState, first int) {
	d := int16(1)
	if p.haves.all {
		d = -1
		p.known += s.t.n() - first
	}
	for w := first / 64; w*64 < s.t.n(); w++ {
		m := p.haves.mark(w) & s.t.knownMask(w)
		if w == first/64 {
			m &= ^uint64(0) << (first % 64)
		}
		if m != 0 {
			s.t.adjust(w, m, d)
			p.known += int(d) * bits.OnesCount64(m)
		}
	}
}

// forgetHaves makes the peer one that has nothing.
func (s *State) forgetHaves(p *peerState) {
	d := int16(-1)
	if p.haves.all {
		d = 1
		s.seeds--
	}
	if p.haves.partial() {
		s.partials--
	}
	for i, pg := range p.haves.pages {
		if pg == nil || i*pageLeaves >= s.t.n() {
			continue
		}
		for j, m := range pg {
			w := i*pageWords + j
			if m &= s.t.knownMask(w); m != 0 {
				s.t.adjust(w, m, d)
			}
		}
	}
	p.haves, p.known = haves{}, 0
}
