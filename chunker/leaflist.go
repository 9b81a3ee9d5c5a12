package chunker

// leafSegment is how many leaves a segment of a leafList holds.
const leafSegment = 4096

// leafList is the leaf sequence, in segments, so that growing never copies much
// and a short one is small.
type leafList struct {
	n    int
	segs []leafSeg
}

// leafSeg holds some leaves. While all of them are the same, or of the same size, it
// says so once.
type leafSeg struct {
	n       int
	from    int64    // content bytes before it
	size    int64    // of each leaf, while ends is nil
	one     digest   // of each leaf, while digests is nil
	digests []digest // by leaf
	ends    []int64  // content bytes of the segment up to and including each leaf
}

func (l *leafList) add(d digest, size int64) {
	if l.n%leafSegment == 0 {
		l.segs = append(l.segs, leafSeg{from: l.start(l.n), size: size, one: d})
	}
	s := &l.segs[len(l.segs)-1]
	if s.digests == nil && d != s.one {
		s.digests = make([]digest, s.n, roomFor(s.n, len(l.segs) > 1))
		for i := range s.digests {
			s.digests[i] = s.one
		}
	}
	if s.ends == nil && size != s.size {
		s.ends = make([]int64, s.n, roomFor(s.n, len(l.segs) > 1))
		for i := range s.ends {
			s.ends[i] = int64(i+1) * s.size
		}
	}
	if s.digests != nil {
		s.digests = append(fit(s.digests, roomFor(s.n, len(l.segs) > 1)), d)
	}
	if s.ends != nil {
		s.ends = append(fit(s.ends, roomFor(s.n, len(l.segs) > 1)), s.end(s.n)+size)
	}
	s.n++
	l.n++
}

// roomFor is what slices of n leaves that are to take one more are made for: twice that in
// the first segment, exactly; later ones start full.
func roomFor(n int, full bool) int {
	if full {
		return leafSegment
	}
	return min(max(1, 2*n), leafSegment)
}

// fit is list with room for one more.
func fit[T any](list []T, room int) []T {
	if len(list) < cap(list) {
		return list
	}
	return append(make([]T, 0, room), list...)
}

// end is the content bytes of the segment before its leaf i.
func (s *leafSeg) end(i int) int64 {
	switch {
	case i == 0:
		return 0
	case s.ends == nil:
		return int64(i) * s.size
	}
	return s.ends[i-1]
}

func (l *leafList) digest(i int) digest {
	s := &l.segs[i/leafSegment]
	if s.digests == nil {
		return s.one
	}
	return s.digests[i%leafSegment]
}

// start is the content bytes before leaf i, which may be one past the last.
func (l *leafList) start(i int) int64 {
	if i == 0 {
		return 0
	}
	s := &l.segs[(i-1)/leafSegment]
	return s.from + s.end((i-1)%leafSegment+1)
}
