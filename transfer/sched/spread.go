package sched

// Spread is how a full seed deals its leaves out to a crowd: each once before
// any twice, so that one copy of the whole is out as soon as the seed's uplink
// allows and the fetchers swap the rest. A leaf that was given to one member of
// the crowd is withdrawn from the others until the round is over; then all of
// them are on offer again. BitTorrent calls the idea super-seeding (BEP 16).
//
// It knows no peers, only members by number, and nothing of messages: the
// caller tells the others what Take says was given, and offers everything anew
// after NextRound. The zero value is ready for use.
type Spread struct {
	owner   []Member // by leaf: whom it was given to in this round, 0: nobody
	taken   int      // leaves given in this round
	members map[Member]*dealt
	last    Member
}

// Member is one fetcher of a crowd, numbered from 1. Numbers are used again
// only after 65,535 others.
type Member uint16

// dealt is what a Spread knows of a member.
type dealt struct {
	exempt bool // takes what it likes for the rest of the round
}

// Join adds a member and returns its number.
func (s *Spread) Join() Member {
	if s.members == nil {
		s.members = make(map[Member]*dealt)
	}
	for s.last++; s.last == 0 || s.members[s.last] != nil; {
		s.last++
	}
	s.members[s.last] = &dealt{}
	return s.last
}

// Full reports whether no further member can join.
func (s *Spread) Full() bool { return len(s.members) >= 1<<16-1 }

// Leave removes a member and returns the leaves that it was given in this round:
// nobody else may have them, so they are on offer again.
func (s *Spread) Leave(m Member) []Run {
	if s.members[m] == nil {
		return nil
	}
	delete(s.members, m)
	var back []Run
	for l := range s.owner {
		if s.owner[l] == m {
			s.owner[l] = 0
			s.taken--
			back = appendLeaf(back, Leaf(l))
		}
	}
	return back
}

// Crowd reports whether there is anybody to spread among.
func (s *Spread) Crowd() bool { return len(s.members) > 1 }

// Take says whether to give a leaf to a member, and whether that is news for the
// others: they are not to ask for it until the next round.
func (s *Spread) Take(m Member, l Leaf) (give, news bool) {
	d := s.members[m]
	if d == nil {
		return true, false
	}
	for int(l) >= len(s.owner) {
		s.owner = append(s.owner, make([]Member, max(64, len(s.owner)/2))...)
	}
	switch s.owner[l] {
	case 0:
		s.owner[l] = m
		s.taken++
		return true, true
	case m:
		return true, false
	}
	return d.exempt, false
}

// Given returns the leaves that the others were given in this round: what a
// member that joins is not to ask for.
func (s *Spread) Given(m Member) []Run {
	var runs []Run
	if s.taken == 0 {
		return nil
	}
	for l, o := range s.owner {
		if o != 0 && o != m {
			runs = appendLeaf(runs, Leaf(l))
		}
	}
	return runs
}

// Withheld reports whether a member is not to ask for what others were given.
func (s *Spread) Withheld(m Member) bool {
	d := s.members[m]
	return d != nil && !d.exempt
}

// Exempt lets a member take what it likes until the round is over: one that
// finds nothing it may ask for, while others keep the seed busy.
func (s *Spread) Exempt(m Member) {
	if d := s.members[m]; d != nil {
		d.exempt = true
	}
}

// NextRound puts all leaves on offer again. It reports whether any was not.
func (s *Spread) NextRound() bool {
	if s.taken == 0 {
		return false
	}
	clear(s.owner)
	s.taken = 0
	for _, d := range s.members {
		d.exempt = false
	}
	return true
}

// appendLeaf appends a leaf to runs, lengthening the last one where it fits.
func appendLeaf(runs []Run, l Leaf) []Run {
	if n := len(runs); n > 0 && runs[n-1].First+Leaf(runs[n-1].Count) == l {
		runs[n-1].Count++
		return runs
	}
	return append(runs, Run{l, 1})
}
